import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import type { EditInput, ImageSource } from '../../src/jobs/request.ts';
import { fingerprint, fingerprintOf } from '../../src/jobs/submit/fingerprint.ts';

const inputWith = (first: ImageSource): EditInput => ({
  images: [
    { slot: 2, field: 'image2_url', source: first },
    { slot: 1, field: 'image1_url', source: { kind: 'url', url: 'https://images.example/ä.png' } },
    { slot: 3, field: 'image3_url', source: { kind: 'form', uploadId: 'u', sha256: 'abc' } },
  ],
  mask: { kind: 'upload', id: 'm' },
  prompt: 'Make it "night" \n\u2028',
  negativePrompt: '',
  seed: '18446744073709551615',
  steps: 8,
  cfg: 1.5,
  megapixels: null,
  workflow: null,
  priority: 'HIGH',
  parameters: { b: [1, [], {}, null, true], a: { 10: 'x', 9: 'y', z: undefined } },
  webhook: { url: 'https://hooks.example/', events: ['COMPLETED'] },
  idempotencyKey: 'k',
  variations: 3,
  label: 'l',
  metadata: { team: 'red', 2: 'b', 10: 'a' },
  warnings: ['w'],
});

const DATA_URI = { kind: 'dataUri', dataUri: 'data:image/png;base64,AAAA/+8=' } as const;

it('the fingerprint of a request is that of earlier versions, with which records were made', () => {
  const input = inputWith(DATA_URI);
  expect(fingerprint(input)).toBe('f4ebfc60eef9bc6464b95922047de5af734ffe0a5360fb6f2959a643b64bb7fa');
  expect(fingerprintOf([input, { ...input, mask: null, images: [] }])).toBe(
    'f6f7f9dc44c895be4ae81d7499718da780e4ad496c03a82d9e0995a94f1aabae',
  );
});

it('an image that was decoded while it arrived has the fingerprint of its data URI', () => {
  const sizes = [1, 2, 3, 1_000, 48 * 1024 - 1, 48 * 1024, 48 * 1024 + 1, 200_000];
  for (const bytes of sizes.map(size => Buffer.alloc(size, 'picture'))) {
    const head = 'Data:image/"png;base64,';
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const inline = inputWith({ kind: 'inline', image: { head, bytes, sha256 } });
    const text = inputWith({ kind: 'dataUri', dataUri: head + bytes.toString('base64') });
    expect(fingerprint(inline)).toBe(fingerprint(text));
  }
});

it('in a batch, too, where edits that differ in a long data URI alone have different ones', () => {
  const inline = (bytes: Buffer): ImageSource => {
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    return { kind: 'inline', image: { head: 'data:;base64,', bytes, sha256 } };
  };
  const text = (bytes: Buffer): ImageSource => ({
    kind: 'dataUri',
    dataUri: `data:;base64,${bytes.toString('base64')}`,
  });
  const found = new Set<string>();
  for (const size of [48 * 1024 - 9, 48 * 1024 - 8, 48 * 1024, 200_000]) {
    for (const fill of ['one', 'two']) {
      const bytes = Buffer.alloc(size, fill);
      const prints = [inline, text].map(source =>
        fingerprintOf([inputWith(source(bytes)), inputWith(DATA_URI)]),
      );
      expect(prints[0]).toBe(prints[1]);
      found.add(prints[0] ?? '');
    }
  }
  expect(found.size).toBe(8);
  // By the hash of the text, which is made once however many edits have it.
  const uri = `data:;base64,${Buffer.alloc(200_000, 'one').toString('base64')}`;
  const hashed = createHash('sha256').update(JSON.stringify(uri)).digest('hex');
  const edits = (dataUri: string): EditInput[] => [inputWith({ kind: 'dataUri', dataUri })];
  expect(fingerprintOf(edits(uri))).toBe(fingerprintOf(edits(hashed)));
});
