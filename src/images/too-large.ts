import { ImageRefused } from './failure.ts';

/** The refusal of whatever has more than `maxBytes`. */
export function tooLarge(maxBytes: number): ImageRefused {
  const mebibytes = maxBytes / 1024 ** 2;
  const size = mebibytes >= 1 ? `${Number(mebibytes.toFixed(1))} MB` : `${maxBytes} bytes`;
  return new ImageRefused('INPUT_TOO_LARGE', `larger than ${size}`);
}
