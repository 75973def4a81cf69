/** What `GET /metrics` answers. */
export interface Scrape {
  readonly status: number;
  readonly type: string | null;
  readonly text: string;
  /** The values by `name{labels}`, with labels in the order of the text. */
  readonly samples: ReadonlyMap<string, number>;
}

/** Scrapes the metrics at this URL. */
export async function scrape(url: string, headers: Record<string, string> = {}): Promise<Scrape> {
  const answer = await fetch(url, { headers });
  const text = await answer.text();
  const lines = text.split('\n').filter(line => line !== '' && !line.startsWith('#'));
  const samples = new Map(
    lines.map(line => {
      const at = line.lastIndexOf(' ');
      return [line.slice(0, at), Number(line.slice(at + 1))] as const;
    }),
  );
  return { status: answer.status, type: answer.headers.get('content-type'), text, samples };
}

/** The samples of one metric of a gateway, by their labels. */
export async function samplesOf(gateway: { readonly url: string }, name: string) {
  const { samples } = await scrape(`${gateway.url}/metrics`);
  const own = [...samples].filter(([key]) => key.startsWith(`${name}{`));
  return Object.fromEntries(own.map(([key, value]) => [key.slice(name.length), value]));
}
