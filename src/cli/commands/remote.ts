import { type Command, InvalidArgumentError, Option } from 'commander';
import { type Client, createClient, GatewayError } from '../../client/client.ts';
import { BriefWebSocket } from '../brief-web-socket.ts';
import { CommandFailure, failureCode } from '../outcome.ts';

/** What every command takes that speaks to a gateway. */
export interface Remote {
  readonly url: string;
  readonly apiKey?: string;
  readonly json?: boolean;
}

/** Where the gateway is, who asks, and how the answer is printed. */
export function addRemoteOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--url <url>', 'the gateway')
        .env('QWEN_EDIT_URL')
        .default('http://localhost:8189')
        .argParser(takeUrl),
    )
    .addOption(new Option('--api-key <key>', 'who you are, when it asks').env('QWEN_EDIT_API_KEY'))
    .option('--json', 'print JSON, one object a line');
}

function takeUrl(text: string): string {
  if (/^https?:\/\//i.test(text) && URL.canParse(text)) return text;
  throw new InvalidArgumentError('It takes an http or https URL.');
}

/** Reads an option that is a number; its range is the gateway's to judge. */
export function takeNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It takes a number.');
  return value;
}

/** Reads an option that is a whole number in a range; without `to` its end is the gateway's to judge. */
export function takeWhole(from: number, to?: number): (text: string) => number {
  return text => {
    const value = Number(text);
    const fits = /^\d+$/.test(text) && Number.isSafeInteger(value);
    if (fits && value >= from && (to === undefined || value <= to)) return value;
    const range = to === undefined ? `from ${from}` : `from ${from} to ${to}`;
    throw new InvalidArgumentError(`It takes a whole number ${range}.`);
  };
}

/** Runs with a client that is closed afterwards. What kept it from an answer is told in one line. */
export async function withClient<T>(remote: Remote, use: (client: Client) => Promise<T>): Promise<T> {
  const { url, apiKey } = remote;
  const client = createClient({
    url,
    ...(apiKey === undefined ? {} : { apiKey }),
    webSocket: BriefWebSocket,
  });
  try {
    return await use(client);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    throw new CommandFailure(`${error.message}${hintOf(error)}`, failureCode(error.retryable));
  } finally {
    await client.close();
  }
}

/** What to try, where that can be told. */
function hintOf({ kind, status }: GatewayError): string {
  if (kind === 'unreachable') return '\nIs the gateway running there? --url or QWEN_EDIT_URL says where.';
  if (kind !== 'refused') return '';
  if (status === 404 || status === 405) return '\n--url or QWEN_EDIT_URL says where the gateway is.';
  return status === 401 || status === 403 ? '\n--api-key or QWEN_EDIT_API_KEY says who you are.' : '';
}
