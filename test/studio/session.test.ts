import { expect, it } from 'vitest';
import { type Caller, GatewayError } from '../../src/client/client.ts';
import { createSession } from '../../src/studio/signin/session.ts';

const REJECTED = new GatewayError('refused', 'x', { status: 401, code: null, retryable: false });

/** A session with a key whose questions to the gateway are answered by hand, in their order. */
function start() {
  const asked: { resolve(caller: Caller): void; reject(error: unknown): void }[] = [];
  const store = { read: () => 'old', write: () => {} };
  const session = createSession(store, () => {
    const answer = Promise.withResolvers<Caller>();
    asked.push(answer);
    return answer.promise;
  });
  return { session, asked };
}

const callerOf = (id: string): Caller => ({ id, operator: false, limits: null, used: null });

it('does not ask for a key when the one before a sign-in turns out to be rejected after it', async () => {
  const { session, asked } = start();
  session.concerns(REJECTED);
  const signedIn = session.signIn('new');
  asked[1]?.resolve(callerOf('new'));
  expect(await signedIn).toBeNull();
  asked[0]?.reject(REJECTED);
  await settled();
  expect(session.needed.value).toBe(false);
});

it('asks for a key when the present one turns out to be rejected', async () => {
  const { session, asked } = start();
  session.concerns(REJECTED);
  asked[0]?.reject(REJECTED);
  await settled();
  expect(session.needed.value).toBe(true);
});

it.each([
  ['accepted', false],
  ['rejected', true],
])('knows the caller of the new key when the one before is %s after the sign-in', async (_, isRejected) => {
  const { session, asked } = start();
  const identified = session.identify();
  const signedIn = session.signIn('new');
  asked[1]?.resolve(callerOf('new'));
  await signedIn;
  if (isRejected) asked[0]?.reject(REJECTED);
  else asked[0]?.resolve(callerOf('old'));
  await identified;
  expect([session.caller.value?.id, session.needed.value, asked.length]).toEqual(['new', false, 2]);
});

/** Resolves when all that follows from settled promises has happened. */
function settled(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve));
}
