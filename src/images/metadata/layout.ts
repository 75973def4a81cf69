/** What becomes of the next bytes of a file. */
export type Step =
  /** They are shown, and nothing becomes of them yet. */
  | { readonly kind: 'peek'; readonly bytes: number }
  | { readonly kind: 'keep'; readonly bytes: number }
  | { readonly kind: 'drop'; readonly bytes: number }
  /** Zeros take their place. */
  | { readonly kind: 'blank'; readonly bytes: number }
  /** These take the place of as many. */
  | { readonly kind: 'swap'; readonly by: Uint8Array };

/** Walks through a file from its beginning; what follows its last step is kept. Given bytes are those of a peek. */
export type Layout = Generator<Step, void, Buffer>;

const PNG = '\x89PNG\r\n\x1a\n';
/**
 * Chunks that hold words and not the picture (https://www.w3.org/TR/png-3/, 11.3.3 and 11.3.4.6): ComfyUI's SaveImage
 * writes the whole graph, prompts included, into tEXt (`nodes.py`).
 */
const PRIVATE_PNG: ReadonlySet<string> = new Set(['tEXt', 'zTXt', 'iTXt', 'eXIf']);

const JPEG = '\xff\xd8\xff';
const SOS = 0xda;
const EOI = 0xd9;
const COM = 0xfe;
/** Markers without a length (ITU-T T.81, B.1.1.3): TEM and RST0 to RST7. */
const isBare = (marker: number): boolean => marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7);
/** Of the application segments, APP0 to APP15, those that a decoder needs: JFIF, ICC profile, Adobe's colour transform. */
const NEEDED: ReadonlySet<number> = new Set([0xe0, 0xe2, 0xee]);

/** EXIF and XMP flags of the VP8X chunk (https://developers.google.com/speed/webp/docs/riff_container, "Extended File Format"). */
const WEBP_FLAGS = 0x08 | 0x04;

/** Parts of a PNG, JPEG or WebP that hold words and not the picture are left out; of anything else nothing is. */
export function* layoutOf(): Layout {
  const head = (yield peek(12)).toString('latin1');
  if (head.startsWith(PNG)) yield* png();
  else if (head.startsWith(JPEG)) yield* jpeg();
  else if (head.startsWith('RIFF') && head.endsWith('WEBP')) yield* webp();
}

function* png(): Layout {
  yield keep(PNG.length);
  for (;;) {
    // A chunk: length, type, data, CRC; four bytes each but the data.
    const head = yield peek(8);
    const bytes = 12 + head.readUInt32BE(0);
    yield PRIVATE_PNG.has(head.toString('latin1', 4)) ? drop(bytes) : keep(bytes);
  }
}

/** Comments and application data, EXIF and XMP among them, all of which stand before the first scan. */
function* jpeg(): Layout {
  yield keep(2);
  for (;;) {
    const head = yield peek(4);
    const marker = head.readUInt8(1);
    if (head.readUInt8(0) !== 0xff || marker === SOS || marker === EOI) return;
    // Any number of 0xff may stand before a marker.
    if (marker === 0xff) yield keep(1);
    else if (isBare(marker)) yield keep(2);
    else {
      const bytes = 2 + head.readUInt16BE(2);
      const application = marker >= 0xe0 && marker <= 0xef;
      yield marker === COM || (application && !NEEDED.has(marker)) ? drop(bytes) : keep(bytes);
    }
  }
}

/**
 * The file's length stands at its beginning, before it is known what follows: EXIF and XMP are not left out but become
 * filler of the same length, which readers pass over.
 */
function* webp(): Layout {
  yield keep(12);
  for (;;) {
    const head = yield peek(8);
    const length = head.readUInt32LE(4);
    const padded = length + (length % 2);
    switch (head.toString('latin1', 0, 4)) {
      case 'VP8X': {
        const flags = (yield peek(9)).readUInt8(8);
        yield keep(8);
        if (length === 0) break;
        yield { kind: 'swap', by: Uint8Array.of(flags & ~WEBP_FLAGS) };
        yield keep(padded - 1);
        break;
      }
      case 'EXIF':
      case 'XMP ':
        yield { kind: 'swap', by: Buffer.from('JUNK') };
        yield keep(4);
        yield { kind: 'blank', bytes: padded };
        break;
      default:
        yield keep(8 + padded);
    }
  }
}

function peek(bytes: number): Step {
  return { kind: 'peek', bytes };
}

function keep(bytes: number): Step {
  return { kind: 'keep', bytes };
}

function drop(bytes: number): Step {
  return { kind: 'drop', bytes };
}
