/** Binary frames of ComfyUI's socket: uint32 big-endian kind, then what that kind says (`protocol.py`, `server.py`). */

const PREVIEW = 1;
const PREVIEW_WITH_METADATA = 4;
const JPEG = 1;

/** A preview without a prompt id: kind 1, uint32 format 1 (JPEG), the picture. */
export function plainPreview(jpeg: Uint8Array): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(PREVIEW, 0);
  head.writeUInt32BE(JPEG, 4);
  return Buffer.concat([head, jpeg]);
}

/** A preview that names its prompt and node: kind 4, uint32 length, that much JSON, the picture. */
export function previewWithMetadata(jpeg: Uint8Array, promptId: string, nodeId: string): Buffer {
  const metadata = Buffer.from(
    JSON.stringify({
      node_id: nodeId,
      prompt_id: promptId,
      display_node_id: nodeId,
      parent_node_id: null,
      real_node_id: nodeId,
      image_type: 'image/jpeg',
    }),
  );
  const head = Buffer.alloc(8);
  head.writeUInt32BE(PREVIEW_WITH_METADATA, 0);
  head.writeUInt32BE(metadata.byteLength, 4);
  return Buffer.concat([head, metadata, jpeg]);
}
