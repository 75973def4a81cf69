import { createServer } from 'node:http';
import sharp from 'sharp';

/** Two drawn images on an HTTP server: the gateway fetches them by URL, like any others. */
export interface Samples {
  readonly portrait: string;
  readonly landscape: string;
  /** Host and port, which FETCH_ALLOW must list. */
  readonly address: string;
  stop(): Promise<void>;
}

const PORTRAIT = `<svg xmlns="http://www.w3.org/2000/svg" width="768" height="768">
  <defs><linearGradient id="wall" x1="0" y1="0" x2="1" y2="1">
    <stop offset="0" stop-color="#f6d7b0"/><stop offset="1" stop-color="#e2a77e"/></linearGradient></defs>
  <rect width="768" height="768" fill="url(#wall)"/>
  <path d="M120 768 C140 560 270 500 384 500 C498 500 628 560 648 768 Z" fill="#2f6f73"/>
  <rect x="330" y="430" width="108" height="110" rx="40" fill="#e0a98a"/>
  <ellipse cx="384" cy="320" rx="132" ry="160" fill="#edbd9f"/>
  <path d="M240 320 C220 130 350 110 400 120 C540 110 550 240 528 330 C520 250 470 220 400 225 C320 228 260 250 240 320 Z" fill="#4a2c20"/>
  <circle cx="334" cy="318" r="13" fill="#2a1c18"/><circle cx="434" cy="318" r="13" fill="#2a1c18"/>
  <path d="M330 392 Q384 436 438 392" stroke="#9c4a3c" stroke-width="10" fill="none" stroke-linecap="round"/>
</svg>`;

const LANDSCAPE = `<svg xmlns="http://www.w3.org/2000/svg" width="1024" height="683">
  <defs><linearGradient id="sky" x1="0" y1="0" x2="0" y2="1">
    <stop offset="0" stop-color="#86b6d8"/><stop offset="1" stop-color="#f7e3c4"/></linearGradient></defs>
  <rect width="1024" height="683" fill="url(#sky)"/>
  <circle cx="770" cy="180" r="62" fill="#fff3c9"/>
  <path d="M0 430 L200 240 L330 360 L520 180 L760 400 L1024 260 L1024 683 L0 683 Z" fill="#7d93a6"/>
  <path d="M0 520 Q260 420 520 500 T1024 470 L1024 683 L0 683 Z" fill="#4f7a52"/>
  ${Array.from({ length: 26 }, (_, i) => {
    const x = 12 + i * 40;
    const y = 500 + ((i * 37) % 60);
    return `<path d="M${x} ${y} l26 -96 l26 96 Z" fill="#2f5a3b"/><rect x="${x + 22}" y="${y}" width="8" height="26" fill="#5c4030"/>`;
  }).join('')}
</svg>`;

/** Draws the images and serves them on a free loopback port. */
export async function serveSamples(): Promise<Samples> {
  const images = new Map([
    ['/portrait.jpg', await sharp(Buffer.from(PORTRAIT)).jpeg({ quality: 90 }).toBuffer()],
    ['/landscape.jpg', await sharp(Buffer.from(LANDSCAPE)).jpeg({ quality: 90 }).toBuffer()],
  ]);
  const server = createServer((request, response) => {
    const image = images.get(request.url ?? '');
    if (image === undefined) response.writeHead(404).end();
    else response.writeHead(200, { 'content-type': 'image/jpeg' }).end(image);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('The samples have no port');
  const address = `127.0.0.1:${bound.port}`;
  return {
    portrait: `http://${address}/portrait.jpg`,
    landscape: `http://${address}/landscape.jpg`,
    address,
    async stop() {
      server.closeAllConnections();
      await new Promise<void>(resolve => server.close(() => resolve()));
    },
  };
}
