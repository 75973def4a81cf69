import { pipeline, Transform, type TransformCallback } from 'node:stream';
import { errorCodes, type FastifyInstance, type FastifyRequest } from 'fastify';
import { type BodyReader, createBodyReader, type ReadBody } from '../inline-images.ts';
import { mayBeLarge } from '../limits/held-bytes.ts';
import { type CountImages, parseBody, parseBodyWithImages } from './body.ts';

/** Parses JSON bodies, and rejects others. Decodes large images while they arrive; `countImages` knows the fields for them. */
export function addJsonParser(app: FastifyInstance, countImages: CountImages): void {
  const large = new WeakMap<FastifyRequest, ReadBody>();
  app.removeAllContentTypeParsers();
  app.addHook('preParsing', (request, _reply, payload, done) => {
    const { headers, routeOptions } = request;
    if (!mayBeLarge(headers)) return done(null, payload);
    const length = Number(headers['content-length'] ?? Number.NaN);
    const reader = createBodyReader(Number.isNaN(length) ? null : length);
    const reading = new LargeBody(reader, routeOptions.bodyLimit ?? Infinity, read =>
      large.set(request, read),
    );
    // Fastify listens for errors of `reading`, which the pipeline destroys with those of the request.
    done(
      null,
      pipeline(payload, reading, () => {}),
    );
  });
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, bytes: Buffer, done) => {
    const read = large.get(request);
    done(null, read === undefined ? parseBody(bytes) : parseBodyWithImages(read, countImages));
  });
}

/** Passes on, at the end of a body, its text without the images. */
class LargeBody extends Transform {
  /** Fastify compares it with the limit, and with the length that the headers say. */
  receivedEncodedLength = 0;
  readonly #reader: BodyReader;
  readonly #limit: number;
  readonly #onRead: (read: ReadBody) => void;

  constructor(reader: BodyReader, limit: number, onRead: (read: ReadBody) => void) {
    super();
    this.#reader = reader;
    this.#limit = limit;
    this.#onRead = onRead;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.receivedEncodedLength += chunk.byteLength;
    if (this.receivedEncodedLength > this.#limit) {
      done(new errorCodes.FST_ERR_CTP_BODY_TOO_LARGE());
    } else {
      this.#reader.take(chunk);
      done();
    }
  }

  override _flush(done: TransformCallback): void {
    const read = this.#reader.end();
    this.#onRead(read);
    done(null, read.text);
  }
}
