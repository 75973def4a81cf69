/**
 * The same class of WebSocket, whose sockets may be left to themselves. graphql-ws takes its listeners away when it gives
 * a connection up, and one of the `ws` package that was still opening then throws what nobody listens for.
 */
export function attended(implementation: unknown): unknown {
  if (typeof implementation !== 'function') return implementation;
  return new Proxy(implementation, {
    construct(target, given) {
      const socket: EventTarget = Reflect.construct(target, given);
      socket.addEventListener('error', ignore);
      return socket;
    },
  });
}

/** Whoever subscribed was told. */
function ignore(): void {}
