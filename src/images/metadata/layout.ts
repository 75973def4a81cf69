/** What to do with the next bytes of a file. */
export type Step =
  /** Looks at them without moving on. */
  | { readonly kind: 'peek'; readonly bytes: number }
  | { readonly kind: 'keep'; readonly bytes: number }
  | { readonly kind: 'drop'; readonly bytes: number }
  /** Replaces them with zeros. */
  | { readonly kind: 'blank'; readonly bytes: number }
  /** Replaces as many bytes with `by`. */
  | { readonly kind: 'swap'; readonly by: Uint8Array };

/** Steps through a file from its beginning; keeps what follows the last step. Receives the bytes of a peek. */
export type Layout = Generator<Step, void, Buffer>;

const PNG = '\x89PNG\r\n\x1a\n';
/**
 * Chunks that contain metadata only (https://www.w3.org/TR/png-3/, 11.3.3 and 11.3.4.6): ComfyUI's SaveImage writes the
 * whole graph, including prompts, into tEXt (`nodes.py`).
 */
const PRIVATE_PNG: ReadonlySet<string> = new Set(['tEXt', 'zTXt', 'iTXt', 'eXIf']);

const JPEG = '\xff\xd8\xff';
const SOS = 0xda;
const EOI = 0xd9;
const COM = 0xfe;
/** Markers without a length (ITU-T T.81, B.1.1.3): TEM and RST0 to RST7. */
const isBare = (marker: number): boolean => marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7);
/** The application segments, APP0 to APP15, that a decoder needs: JFIF, ICC profile, Adobe's colour transform. */
const NEEDED: ReadonlySet<number> = new Set([0xe0, 0xe2, 0xee]);

/** EXIF and XMP flags of the VP8X chunk (https://developers.google.com/speed/webp/docs/riff_container, "Extended File Format"). */
const WEBP_FLAGS = 0x08 | 0x04;

/** Drops the metadata of a PNG, JPEG or WebP, and keeps all of any other file. */
export function* layoutOf(): Layout {
  const head = (yield peek(12)).toString('latin1');
  if (head.startsWith(PNG)) yield* png();
  else if (head.startsWith(JPEG)) yield* jpeg();
  else if (head.startsWith('RIFF') && head.endsWith('WEBP')) yield* webp();
}

function* png(): Layout {
  yield keep(PNG.length);
  for (;;) {
    // A chunk: length, type, data, CRC; four bytes each except the data.
    const head = yield peek(8);
    const bytes = 12 + head.readUInt32BE(0);
    yield PRIVATE_PNG.has(head.toString('latin1', 4)) ? drop(bytes) : keep(bytes);
  }
}

/** Drops comments and application data such as EXIF and XMP, which all come before the first scan. */
function* jpeg(): Layout {
  yield keep(2);
  for (;;) {
    const head = yield peek(4);
    const marker = head.readUInt8(1);
    if (head.readUInt8(0) !== 0xff || marker === SOS || marker === EOI) return;
    // Any number of 0xff bytes may precede a marker.
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
 * Replaces EXIF and XMP with filler chunks of the same length, which readers skip: the file's length comes first and is
 * already written when they are found.
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
