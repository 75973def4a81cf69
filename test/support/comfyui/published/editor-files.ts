import { API_FILES } from './api.ts';
import {
  between,
  type Draft,
  type DraftOptions,
  draftOf,
  intoSubgraph,
  nodeAt,
  version1,
  version04,
} from './editor.ts';
import { changed, emptyCanvas, PLAIN, type Places, type PublishedFile, plain } from './graphs.ts';

/** A file of the editor, from what a graph becomes there and how it is changed. */
function file(
  trait: string,
  change: (draft: Draft) => void,
  places: Partial<Places> = {},
  {
    graph = plain(),
    write = version04,
    ...options
  }: DraftOptions & { graph?: ReturnType<typeof plain>; write?: (draft: Draft) => unknown } = {},
): PublishedFile {
  const draft = draftOf(graph, options);
  change(draft);
  return { trait, json: write(draft), places: { ...PLAIN, ...places } };
}

const unchanged = () => {};

/** Places inside the subgraph of node 300. */
const INSIDE: Partial<Places> = {
  prompt: '300:111.prompt',
  negativePrompt: '300:110.prompt',
  seed: '300:3.seed',
  steps: '300:3.steps',
  cfg: '300:3.cfg',
};
const EDIT_NODES = [37, 38, 39, 66, 75, 111, 110, 88, 3, 8];

/** Files as the editor saves them: one trait each. */
export const EDITOR_FILES: readonly PublishedFile[] = [
  file('version 0.4 of the format', unchanged),
  file('version 1 of the format', unchanged, {}, { write: version1 }),
  file('widgets that are listed as inputs', unchanged, {}, { listed: true }),
  file('values of widgets by name', unchanged, {}, { named: true }),
  file(
    'a workflow in the body of POST /prompt',
    unchanged,
    {},
    {
      write: draft => ({ extra_data: { extra_pnginfo: { workflow: version04(draft) } } }),
    },
  ),
  file('notes, a group and a node that is linked to nothing', draft => {
    draft.nodes.push(
      { id: 500, type: 'Note', mode: 0, inputs: [], outputs: [], widgets_values: ['read me'] },
      { id: 501, type: 'MarkdownNote', mode: 0, inputs: [], outputs: [], widgets_values: ['# read me'] },
      { id: 502, type: 'Fast Groups Bypasser (rgthree)', mode: 0, inputs: [], outputs: [] },
      { id: 503, type: 'Unheard Of', mode: 0, inputs: [], outputs: [], widgets_values: [1, 2] },
    );
  }),
  file('inputs that take the value of a primitive', draft => {
    primitive(draft, 3, 'steps', 20, 'fixed');
    primitive(draft, 111, 'prompt', 'hang the lamp over the harbour');
  }),
  file('reroutes', draft => {
    between(draft, 3, 'model', [{}, {}, { type: 'Reroute (rgthree)' }]);
    between(draft, 8, 'vae', [{}]);
  }),
  file('a pair of set and get nodes', draft => {
    between(draft, 8, 'vae', [
      { type: 'SetNode', widgets_values: ['VAE'] },
      { type: 'GetNode', widgets_values: ['VAE'], inputs: [] },
    ]);
    between(draft, 88, 'pixels', [
      { type: 'SetNode', widgets_values: ['canvas'] },
      { type: 'GetNode', widgets_values: ['canvas'], inputs: [] },
    ]);
  }),
  file('a node that broadcasts the VAE to all inputs without a link', draft => {
    const vae = draft.links.filter(({ type }) => type === 'VAE');
    draft.links.splice(0, draft.links.length, ...draft.links.filter(({ type }) => type !== 'VAE'));
    for (const slot of draft.nodes.flatMap(({ inputs }) => inputs)) if (slot.type === 'VAE') slot.link = null;
    const [link] = vae;
    if (link === undefined) throw new Error('no link of a VAE');
    const inputs = [{ name: 'anything', type: '*', link: link.id }];
    draft.nodes.push({ id: 510, type: 'Anything Everywhere', mode: 0, inputs, outputs: [] });
    draft.links.push({ ...link, target_id: 510, target_slot: 0 });
  }),
  file(
    'a bypassed LoRA',
    draft => {
      nodeAt(draft, 89).mode = 4;
    },
    {},
    {
      graph: changed({
        '89': {
          class_type: 'LoraLoaderModelOnly',
          inputs: {
            model: ['37', 0],
            lora_name: 'Qwen-Image-Edit-2509-Lightning-4steps-V1.0-bf16.safetensors',
            strength_model: 1,
          },
        },
        '66': { inputs: { model: ['89', 0] } },
      }),
    },
  ),
  file(
    'a muted second image',
    draft => {
      nodeAt(draft, 106).mode = 2;
    },
    { images: ['78.image'] },
  ),
  file('a muted preview beside the result', draft => {
    draft.nodes.push({ id: 504, type: 'PreviewImage', mode: 2, inputs: [], outputs: [] });
  }),
  file(
    'a size from primitive nodes',
    unchanged,
    { width: '201.value', height: '202.value' },
    {
      graph: emptyCanvas(['201', 0], ['202', 0], {
        '201': { class_type: 'PrimitiveInt', inputs: { value: 1024 } },
        '202': { class_type: 'PrimitiveInt', inputs: { value: 768 } },
      }),
    },
  ),
  file(
    'a prompt that nodes join',
    unchanged,
    { prompt: '210.value' },
    {
      graph: changed({
        '111': { inputs: { prompt: ['211', 0] } },
        '210': { class_type: 'PrimitiveStringMultiline', inputs: { value: 'p' } },
        '211': {
          class_type: 'StringConcatenate',
          inputs: { string_a: ['210', 0], string_b: '!', delimiter: '' },
        },
      }),
    },
  ),
  file('a subgraph', draft => intoSubgraph(draft, 300, EDIT_NODES), INSIDE),
  file(
    'a subgraph in a subgraph',
    draft => {
      intoSubgraph(draft, 299, [37, 66, 75]);
      intoSubgraph(draft, 300, [...EDIT_NODES.filter(id => ![37, 66, 75].includes(id)), 299]);
    },
    INSIDE,
  ),
  file(
    'a subgraph that shows widgets as its own',
    draft =>
      intoSubgraph(draft, 300, EDIT_NODES, [
        { node: 111, name: 'prompt', value: 'hang the lamp over the harbour' },
        { node: 37, name: 'unet_name', value: 'qwen_image_edit_2511_bf16.safetensors' },
      ]),
    INSIDE,
  ),
  file(
    'a subgraph with proxies of inner widgets',
    draft => {
      const outer = intoSubgraph(draft, 300, EDIT_NODES, [
        { node: 111, name: 'prompt', value: 'hang the lamp over the harbour' },
      ]);
      outer.inputs = outer.inputs.filter(({ widget }) => widget === undefined);
      outer.properties = {
        proxyWidgets: [
          ['-1', 'prompt'],
          ['3', 'seed'],
          ['3', 'control_after_generate'],
          ['37', 'unet_name'],
        ],
      };
      outer.widgets_values = [
        'hang the lamp over the harbour',
        99,
        'randomize',
        'qwen_image_edit_2511_bf16.safetensors',
      ];
    },
    INSIDE,
  ),
  file(
    'a subgraph that is used twice',
    draft => {
      intoSubgraph(draft, 300, [106]);
      intoSubgraph(draft, 301, [78]);
    },
    { images: ['301:78.image', '300:106.image'] },
  ),
  file(
    'an encoder of an unknown pack whose widgets are listed',
    unchanged,
    {},
    {
      listed: true,
      graph: changed({
        '111': {
          class_type: 'EncoderOfAPack',
          inputs: {
            clip: ['38', 0],
            vae: ['39', 0],
            image1: ['93', 0],
            image2: ['106', 0],
            mode: 'edit',
            prompt: 'p',
            strength: 1,
          },
        },
      }),
    },
  ),
];

/** Every file that was written for these tests. */
export const PUBLISHED_FILES: readonly PublishedFile[] = [
  ...API_FILES.map(entry => ({ ...entry, trait: `API format: ${entry.trait}` })),
  ...EDITOR_FILES.map(entry => ({ ...entry, trait: `editor format: ${entry.trait}` })),
];

/** Makes an input take its value from a primitive node. */
function primitive(draft: Draft, target: number, name: string, ...values: unknown[]): void {
  const node = nodeAt(draft, target);
  const id = 600 + draft.nodes.length;
  draft.nodes.push({
    id,
    type: 'PrimitiveNode',
    mode: 0,
    inputs: [],
    outputs: [{ name, type: '*', links: [id] }],
    widgets_values: values,
  });
  draft.links.push({
    id,
    origin_id: id,
    origin_slot: 0,
    target_id: target,
    target_slot: node.inputs.length,
    type: '*',
  });
  node.inputs.push({ name, type: '*', link: id, widget: { name } });
}
