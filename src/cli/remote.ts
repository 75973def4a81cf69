import { type Command, InvalidArgumentError, Option } from 'commander';
import { WebSocket } from 'ws';
import { type Client, createClient, GatewayError } from '../client/client.ts';
import { CommandFailure, failureCode } from './outcome.ts';

/** The options of every command that calls a gateway. */
export interface Remote {
  readonly url: string;
  readonly apiKey?: string;
  readonly json?: boolean;
}

/** Adds the URL of the gateway, the API key and, unless `json` is false, the output format. */
export function addRemoteOptions(command: Command, { json = true } = {}): Command {
  command
    .addOption(
      new Option('--url <url>', 'the gateway')
        .env('QWEN_EDIT_URL')
        .default('http://localhost:8189')
        .argParser(takeUrl),
    )
    .addOption(new Option('--api-key <key>', 'needed where the gateway has keys').env('QWEN_EDIT_API_KEY'));
  return json ? command.option('--json', 'print JSON, one object per line') : command;
}

function takeUrl(text: string): string {
  if (/^https?:\/\//i.test(text) && URL.canParse(text)) return text;
  throw new InvalidArgumentError('Expected an http or https URL.');
}

/** Parses a number; the gateway checks its range. */
export function takeNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('Expected a number.');
  return value;
}

/** Parses a whole number in a range; without `to`, the gateway checks the upper end. */
export function takeWhole(from: number, to?: number): (text: string) => number {
  return text => {
    const value = Number(text);
    const fits = /^\d+$/.test(text) && Number.isSafeInteger(value);
    if (fits && value >= from && (to === undefined || value <= to)) return value;
    const range = to === undefined ? `from ${from}` : `from ${from} to ${to}`;
    throw new InvalidArgumentError(`Expected a whole number ${range}.`);
  };
}

/** `key=value`, added to those before; the value is a text as it is. */
export function takeEntry(text: string, before: Record<string, string>): Record<string, string> {
  const [, key, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (key === undefined || value === undefined) throw new InvalidArgumentError('Expected key=value.');
  return { ...before, [key]: value };
}

/** The entries as GraphQL takes them; undefined when there are none. */
export function entriesOf(
  metadata: Readonly<Record<string, string>>,
): { key: string; value: string }[] | undefined {
  const entries = Object.entries(metadata).map(([key, value]) => ({ key, value }));
  return entries.length === 0 ? undefined : entries;
}

const SOCKET_TIMEOUTS = { handshakeTimeout: 5_000, closeTimeout: 1_000 };

/**
 * A WebSocket that waits one second for the close frame. Node's own waits until the system gives up the connection, which
 * takes 15 minutes after the network dropped it silently, and keeps the process alive for that long.
 */
class ShortLivedWebSocket extends WebSocket {
  constructor(url: string | URL, protocols?: string | string[]) {
    super(url, protocols, SOCKET_TIMEOUTS);
  }
}

/** Runs `use` with a client and closes it afterwards. Throws a GatewayError as a CommandFailure with a hint. */
export async function withClient<T>(
  { url, apiKey }: Remote,
  use: (client: Client) => Promise<T>,
): Promise<T> {
  const client = createClient({ url, apiKey, webSocket: ShortLivedWebSocket });
  try {
    return await use(client);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    throw new CommandFailure(`${error.message}${hintFor(error)}`, failureCode(error.retryable));
  } finally {
    await client.close();
  }
}

/** What to do about an error, on a line of its own; empty where its message says it. */
export function hintFor({ kind, status }: GatewayError): string {
  if (kind === 'unreachable') return '\nIs the gateway running? Set its address with --url or QWEN_EDIT_URL.';
  if (kind !== 'refused') return '';
  if (status === 404 || status === 405)
    return '\nSet the address of the gateway with --url or QWEN_EDIT_URL.';
  return status === 401 || status === 403 ? '\nSet your API key with --api-key or QWEN_EDIT_API_KEY.' : '';
}
