import { readFileSync } from 'node:fs';
import {
  bearer,
  type CredentialsOf,
  checkCertificates,
  lookUpCredentials,
  type Parsed,
  parseCredentials,
  type Sources,
} from '../comfyui/credentials.ts';
import type { Environment } from './files.ts';
import { reasonOf } from './kinds.ts';

/** The settings that say what the gateway shows to engines. */
export interface CredentialSettings {
  readonly COMFYUI_URL: readonly string[];
  readonly COMFYUI_TOKEN?: string | undefined;
  readonly COMFYUI_HEADERS?: Readonly<Record<string, string>> | undefined;
  readonly COMFYUI_CA_FILE?: string | undefined;
  readonly ENGINE_CREDENTIALS?: string | undefined;
}

/** The credentials of each engine, read from the settings and what they refer to. A fault names its setting and no value. */
export function engineCredentials(
  given: CredentialSettings,
  environment: Environment,
): Parsed<CredentialsOf> {
  const sources: Sources = {
    variable(name) {
      const text = environment[name];
      if (text === undefined || text === '') throw new Error(`the variable ${name} is not set`);
      return text;
    },
    file: readText,
  };
  const text = given.ENGINE_CREDENTIALS;
  const profiles = text === undefined ? { ok: true as const, value: [] } : parseCredentials(text, sources);
  if (!profiles.ok) return { ok: false, fault: `ENGINE_CREDENTIALS: ${profiles.fault}` };
  let ca: string | undefined;
  try {
    if (given.COMFYUI_CA_FILE !== undefined) {
      ca = readText(given.COMFYUI_CA_FILE);
      checkCertificates(ca);
    }
  } catch (error) {
    return { ok: false, fault: `COMFYUI_CA_FILE: ${error instanceof Error ? error.message : String(error)}` };
  }
  const own = bearer(given.COMFYUI_TOKEN, given.COMFYUI_HEADERS ?? {}, ca);
  return { ok: true, value: lookUpCredentials(profiles.value, own, given.COMFYUI_URL) };
}

function readText(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new Error(`cannot read ${path}: ${reasonOf(error)}`);
  }
  if (text.trim() === '') throw new Error(`${path} is empty`);
  return text;
}
