/** Whether an Accept header (RFC 9110, 12.5.1) names HTML and likes it better than JSON: only browsers do. */
export function prefersHtml(accept: string | undefined): boolean {
  const ranges = (accept ?? '').split(',').map(range => {
    const [type = '', ...parameters] = range.split(';').map(part => part.trim().toLowerCase());
    const weight = parameters.find(parameter => parameter.startsWith('q='));
    return { type, weight: weight === undefined ? 1 : Number(weight.slice(2)) || 0 };
  });
  const html = ranges.find(({ type }) => type === 'text/html')?.weight ?? 0;
  const json = ['application/json', 'application/*', '*/*'].flatMap(
    name => ranges.find(({ type }) => type === name)?.weight ?? [],
  );
  return html > (json[0] ?? 0);
}
