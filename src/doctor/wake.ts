import { Agent, request } from 'undici';
import type { Config } from '../config.ts';
import { type Check, reasonOf, reporter } from './check.ts';

const ANSWER_MS = 5_000;

/** Checks that something responds at ENGINE_WAKE_URL, without a call for engines. Its path may be a secret. */
export async function checkWake({ ENGINE_WAKE_URL: text }: Config): Promise<Check[]> {
  if (text === undefined) return [];
  const url = new URL(text);
  const report = reporter('wake', url.host);
  const agent = new Agent({ connectTimeout: ANSWER_MS, headersTimeout: ANSWER_MS, bodyTimeout: ANSWER_MS });
  try {
    // A receiver may take POST only; whatever it says to this, it is there.
    const { body } = await request(url, { method: 'HEAD', dispatcher: agent });
    await body.dump();
    return [report.ok('responds')];
  } catch (error) {
    const fix = 'start what starts the engines, or correct ENGINE_WAKE_URL';
    return [report.wrong(`does not respond: ${reasonOf(error)}`, fix)];
  } finally {
    await agent.destroy();
  }
}
