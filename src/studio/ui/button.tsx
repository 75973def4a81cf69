import type { ComponentChildren, JSX } from 'preact';
import { Icon, type IconName } from './icon.tsx';

type Props = Omit<JSX.IntrinsicElements['button'], 'icon'> & {
  readonly kind?: 'primary' | 'plain' | 'quiet' | 'danger';
  readonly icon?: IconName;
  readonly children: ComponentChildren;
};

/** A button with a text, and an icon before it if it has one. */
export function Button({
  kind = 'plain',
  icon,
  children,
  type = 'button',
  class: more = '',
  ...rest
}: Props) {
  return (
    <button type={type} class={`button button-${kind} ${more}`} {...rest}>
      {icon !== undefined && <Icon name={icon} />}
      <span>{children}</span>
    </button>
  );
}

/** A button that shows only an icon. `label` is its name, and its tooltip. */
export function IconButton({
  icon,
  label,
  class: more = '',
  ...rest
}: Omit<JSX.IntrinsicElements['button'], 'icon' | 'label'> & {
  readonly icon: IconName;
  readonly label: string;
}) {
  return (
    <button type="button" class={`icon-button ${more}`} title={label} {...rest}>
      <Icon name={icon} />
      {/* Hidden text rather than aria-label: names that contain that of an image slot must not label it. */}
      <span class="hidden">{label}</span>
    </button>
  );
}
