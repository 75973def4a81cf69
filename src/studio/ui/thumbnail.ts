/** The address of a small version of an output image, from that of the image. `width` is in CSS pixels, for dense screens. */
export function thumbnailOf(url: string, width: number): string {
  const small = new URL(url);
  small.searchParams.set('width', String(width * 2));
  small.searchParams.set('format', 'webp');
  return small.href;
}
