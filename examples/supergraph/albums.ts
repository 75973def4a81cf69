import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buildSchema } from 'graphql';
import { createYoga, type Plugin } from 'graphql-yoga';

/** A second subgraph: albums, whose photos refer to edits by nothing but their ids. */
export const ALBUMS_SDL = `
directive @oneOf on INPUT_OBJECT

extend schema @link(url: "https://specs.apollo.dev/federation/v2.6", import: ["@key"])

type Query {
  album(id: ID!): Album
}

type Mutation {
  addPhoto(albumId: ID!, jobId: ID!, caption: String!): Album!
}

type Album @key(fields: "id") {
  id: ID!
  photos: [Photo!]!
  "The authorization header that arrived here."
  seenBy: String
}

type Photo {
  caption: String!
  "The edit that makes it: its fields come from the gateway."
  edit: EditJob
}

"What this subgraph adds to the gateway's jobs."
type EditJob @key(fields: "id") {
  id: ID!
  album: Album
}
`;

/** What federation adds to every subgraph, queried by routers. */
const MACHINERY = `
scalar _Any
scalar federation__FieldSet
scalar link__Import
type _Service { sdl: String! }
union _Entity = Album | EditJob
directive @key(fields: federation__FieldSet!, resolvable: Boolean = true) repeatable on OBJECT | INTERFACE
directive @link(url: String!, import: [link__Import]) repeatable on SCHEMA
extend type Query {
  _service: _Service!
  _entities(representations: [_Any!]!): [_Entity]!
}`;

export interface Subgraph {
  readonly name: string;
  readonly url: string;
  readonly sdl: string;
  stop(): Promise<void>;
}

interface Photo {
  readonly caption: string;
  readonly jobId: string;
}

/** Serves the albums on a free port of loopback. They are gone when it stops. */
export async function startAlbums(): Promise<Subgraph> {
  const albums = new Map<string, Photo[]>();

  const albumOf = (id: string) => ({
    __typename: 'Album',
    id,
    photos: () => (albums.get(id) ?? []).map(({ caption, jobId }) => ({ caption, edit: jobOf(jobId) })),
    seenBy: (_: unknown, { request }: { request: Request }) => request.headers.get('authorization'),
  });
  const jobOf = (id: string) => ({
    __typename: 'EditJob',
    id,
    album() {
      const entry = [...albums].find(([, photos]) => photos.some(({ jobId }) => jobId === id));
      return entry === undefined ? null : albumOf(entry[0]);
    },
  });

  const rootValue = {
    _service: { sdl: ALBUMS_SDL },
    _entities: ({ representations }: { representations: { __typename: string; id: string }[] }) =>
      representations.map(({ __typename, id }) => (__typename === 'Album' ? albumOf(id) : jobOf(id))),
    album: ({ id }: { id: string }) => (albums.has(id) ? albumOf(id) : null),
    addPhoto({ albumId, jobId, caption }: { albumId: string; jobId: string; caption: string }) {
      albums.set(albumId, [...(albums.get(albumId) ?? []), { caption, jobId }]);
      return albumOf(albumId);
    },
  };
  const schema = buildSchema(ALBUMS_SDL + MACHINERY);
  const answerFrom: Plugin = {
    onExecute({ args }) {
      args.rootValue = rootValue;
    },
  };
  const yoga = createYoga({ schema, logging: false, plugins: [answerFrom] });
  const server = createServer((request, response) => void yoga(request, response));
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    name: 'albums',
    url: `http://127.0.0.1:${port}/graphql`,
    sdl: ALBUMS_SDL,
    async stop() {
      server.closeAllConnections();
      await new Promise<void>(resolve => server.close(() => resolve()));
    },
  };
}
