import { serve } from './serve.ts';

const failed = await serve(process.env);
if (failed !== null) process.exit(failed);
