import { InvalidArgumentError, Option } from 'commander';
import { SHIPPED_WORKFLOWS } from '../../workflows/files/shipped.ts';

/** `--dir`, an option of every `workflows` command. */
export function dirOption(): Option {
  return new Option('--dir <folder>', 'the folder of workflows')
    .env('WORKFLOWS_DIR')
    .default(SHIPPED_WORKFLOWS, 'those that come with the project');
}

/** `--engine`, whose description says what the command uses it for. */
export function engineOption(description: string): Option {
  return new Option('--engine <url>', description).argParser(engineUrl);
}

function engineUrl(text: string): string {
  if (/^https?:\/\//i.test(text) && URL.canParse(text)) return text;
  throw new InvalidArgumentError('It takes a URL such as http://127.0.0.1:8188.');
}
