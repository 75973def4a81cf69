import { useEffect, useState } from 'preact/hooks';

interface Props {
  readonly src: string;
  readonly alt: string;
  readonly class?: string;
  /** Pixels, to keep its place before it is loaded. */
  readonly width?: number | undefined;
  readonly height?: number | undefined;
  /** Called when `src` is shown. */
  readonly onShown?: (() => void) | undefined;
  /** Called when `src` cannot be shown, as when its signature has expired. */
  readonly onFailed?: (() => void) | undefined;
}

/** An image whose source may change: it shows the old one, with its old text, until the new one can be painted. */
export function SteadyImage({ src, alt, class: name = '', width, height, onShown, onFailed }: Props) {
  const [shown, show] = useState<{ src: string; alt: string } | null>(null);
  useEffect(() => {
    const next = new Image();
    let current = true;
    next.src = src;
    next.decode().then(
      () => {
        if (!current) return;
        show({ src, alt });
        onShown?.();
      },
      // A preview may be replaced before it is read: the next one follows.
      () => {
        if (current) onFailed?.();
      },
    );
    return () => {
      current = false;
    };
  }, [src, alt]);
  if (shown === null) return null;
  return <img class={name} src={shown.src} alt={shown.alt} width={width} height={height} />;
}
