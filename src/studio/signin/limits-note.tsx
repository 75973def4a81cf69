import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';

/** What the caller uses of its limits. Nothing where it has none. */
export function LimitsNote() {
  const lines = useStudio().limits.lines.value;
  if (lines.length === 0) return null;
  return (
    <p class="limits quiet">
      <span class="hidden">{texts.limits.about}</span>
      {lines.join(' · ')}
    </p>
  );
}
