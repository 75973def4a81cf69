import { useStudio } from '../app/context.ts';
import { texts } from '../texts.ts';
import { Button } from '../ui/button.tsx';
import { withQuery } from './download-menu.tsx';

/** Copies the result as an image. Browsers offer that to secure pages only, and take PNG alone. */
export function CopyButton({ url }: { readonly url: string }) {
  const { announcer } = useStudio();
  if (navigator.clipboard?.write === undefined) return null;

  async function copy(): Promise<void> {
    const png = fetch(withQuery(url, { format: 'png' })).then(response => response.blob());
    try {
      await navigator.clipboard.write([new ClipboardItem({ 'image/png': png })]);
      announcer.say(texts.result.copied);
    } catch (error) {
      announcer.say(texts.result.notCopied(error));
    }
  }
  return (
    <Button icon="copy" onClick={() => void copy()}>
      {texts.result.copy}
    </Button>
  );
}
