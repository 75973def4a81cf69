import { createServer } from 'node:http';
import { Webhook, WebhookVerificationError } from 'standardwebhooks';

/**
 * Takes webhooks, and prints those that are truly the gateway's:
 * `WEBHOOK_SECRET=whsec_… npx node examples/webhook-receiver.ts [port]`. Webhooks may come twice, and out of order: what
 * has a known `webhook-id` is only answered.
 */
const webhook = new Webhook(process.env.WEBHOOK_SECRET ?? '');
const known = new Set<string>();

const server = createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += String(chunk);
  const names = ['webhook-id', 'webhook-timestamp', 'webhook-signature'];
  const headers = Object.fromEntries(names.map(name => [name, String(request.headers[name] ?? '')]));
  const id = headers['webhook-id'] ?? '';
  try {
    const event = webhook.verify(body, headers);
    if (!known.has(id)) console.log(JSON.stringify(event));
    known.add(id);
    response.writeHead(204).end();
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
    response.writeHead(401).end();
  }
});
server.listen(Number(process.argv[2] ?? 9000), '127.0.0.1', () => {
  const address = server.address();
  console.log(`Takes webhooks at http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/`);
});
