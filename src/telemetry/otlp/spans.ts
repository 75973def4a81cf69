import { ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
  serviceInstanceIdDetector,
} from '@opentelemetry/resources';
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  RandomIdGenerator,
  type SpanExporter,
} from '@opentelemetry/sdk-trace-base';
import type { Log } from '../../log.ts';
import type { Attributes, Spans } from '../spans.ts';

export interface OtlpOptions {
  /** Where traces are posted, path included. */
  readonly url: string;
  readonly serviceName: string;
  readonly version: string;
  readonly log: Log;
}

/** How long a stop waits for the collector, in milliseconds. */
const FLUSH_MS = 3_000;

const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT } as const;

/**
 * Sends spans to a collector by OTLP over HTTP with protobuf. The SDK reads the other OTEL_ variables of this process:
 * sampler, headers, resource attributes, batches. Nothing is registered globally.
 */
export function createOtlpSpans({ url, serviceName, version, log }: OtlpOptions): Spans {
  const ids = new RandomIdGenerator();
  /** The id of the span that is being started; null: any. */
  let given: string | null = null;
  const provider = new BasicTracerProvider({
    resource: defaultResource()
      .merge(resourceFromAttributes({ 'service.name': serviceName, 'service.version': version }))
      .merge(detectResources({ detectors: [serviceInstanceIdDetector, envDetector] })),
    spanProcessors: [new BatchSpanProcessor(warnOnce(new OTLPTraceExporter({ url }), log))],
    idGenerator: {
      generateTraceId: () => ids.generateTraceId(),
      generateSpanId: () => given ?? ids.generateSpanId(),
    },
  });
  const tracer = provider.getTracer(serviceName, version);

  return {
    start(name, { parent, kind, attributes = {}, at, spanId = null }) {
      given = spanId;
      const span = tracer.startSpan(
        name,
        {
          kind: kind === undefined ? SpanKind.INTERNAL : KINDS[kind],
          attributes: present(attributes),
          ...(at === undefined ? {} : { startTime: at }),
        },
        parent === null
          ? ROOT_CONTEXT
          : trace.setSpanContext(ROOT_CONTEXT, {
              traceId: parent.traceId,
              spanId: parent.spanId,
              traceFlags: parent.sampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
              isRemote: true,
            }),
      );
      given = null;
      const { traceId, spanId: id, traceFlags } = span.spanContext();
      return {
        context: { traceId, spanId: id, sampled: (traceFlags & TraceFlags.SAMPLED) !== 0 },
        set: more => void span.setAttributes(present(more)),
        end(error = null, endedAt) {
          if (error !== null) {
            span.setAttribute('error.type', error);
            span.setStatus({ code: SpanStatusCode.ERROR, message: error });
          }
          span.end(endedAt);
        },
      };
    },
    async stop() {
      const { promise: late, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, FLUSH_MS);
      try {
        await Promise.race([provider.shutdown(), late]);
      } catch (error) {
        // The exporter has warned; nothing else is lost.
        log.debug({ err: error }, 'traces were not flushed');
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

function present(attributes: Attributes): Record<string, string | number | boolean> {
  return Object.fromEntries(
    Object.entries(attributes).flatMap(([name, value]) =>
      value === null || value === undefined ? [] : [[name, value]],
    ),
  );
}

/** Warns when an export fails, and not again before one succeeds. */
function warnOnce(exporter: SpanExporter, log: Log): SpanExporter {
  let failing = false;
  return {
    export(spans, done) {
      exporter.export(spans, result => {
        // 0 is success, see ExportResultCode of @opentelemetry/core.
        const failed = result.code !== 0;
        if (failed && !failing) {
          log.warn({ reason: result.error?.message ?? null }, 'traces cannot be sent to the collector');
        }
        if (!failed && failing) log.info({}, 'traces are sent to the collector again');
        failing = failed;
        done(result);
      });
    },
    forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
    shutdown: () => exporter.shutdown(),
  };
}
