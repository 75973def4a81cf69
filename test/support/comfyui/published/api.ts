import { changed, emptyCanvas, PLAIN, type Places, type PublishedFile, plain } from './graphs.ts';

const { width: _width, height: _height, ...NO_SIZE } = PLAIN;
const { negativePrompt: _negative, ...NO_NEGATIVE } = PLAIN;

function file(
  trait: string,
  json: unknown,
  places: Partial<Places> = {},
  changes: readonly RegExp[] = [],
): PublishedFile {
  return { trait, json, places: { ...PLAIN, ...places }, changes };
}

const text = (class_type: string, inputs: Record<string, unknown>) => ({ class_type, inputs });
const CANVAS = { width: '88.width', height: '88.height' };

/** Files in API format: one trait each, as such files on the web have them. */
export const API_FILES: readonly PublishedFile[] = [
  file('a plain export', plain()),
  file(
    'one image',
    changed({
      '106': null,
      '111': { inputs: { image2: undefined } },
      '110': { inputs: { image2: undefined } },
    }),
    {
      images: ['78.image'],
    },
  ),
  file(
    'three images, each with a scaler',
    changed({
      '120': { class_type: 'LoadImage', inputs: { image: 'c.png' } },
      '121': scaler('106'),
      '122': scaler('120'),
      '111': { inputs: { image2: ['121', 0], image3: ['122', 0] } },
      '110': { inputs: { image2: ['121', 0], image3: ['122', 0] } },
    }),
    { images: ['78.image', '106.image', '120.image'] },
    [/node 121 \(ImageScaleToTotalPixels\) now has resolution_steps/],
  ),
  file(
    'an image that is not scaled',
    changed({
      '93': null,
      '88': { inputs: { pixels: ['78', 0] } },
      '111': { inputs: { image1: ['78', 0] } },
      '110': { inputs: { image1: ['78', 0] } },
    }),
    { width: '112.width', height: '112.height' },
    [/added node 112 \(ImageScale\)/],
  ),
  file('ImageScaleToTotalPixels', changed({ '93': scaler('78') }), {}, [/node 93 .* is now an ImageScale/]),
  file('FluxKontextImageScale', changed({ '93': text('FluxKontextImageScale', { image: ['78', 0] }) }), {}, [
    /node 93 .* is now an ImageScale/,
  ]),
  file('an empty latent image of a fixed size', emptyCanvas(1024, 768), CANVAS),
  ...[
    ['PrimitiveInt', 'value'],
    ['INTConstant', 'value'],
    ['easy int', 'value'],
    ['Int Literal', 'int'],
  ].map(([type = '', input = '']) =>
    file(
      `a width and a height from ${type}`,
      emptyCanvas(['201', 0], ['202', 0], {
        '201': text(type, { [input]: 1024 }),
        '202': text(type, { [input]: 768 }),
      }),
      { width: `201.${input}`, height: `202.${input}` },
    ),
  ),
  file(
    'one constant for both sides',
    emptyCanvas(['201', 0], ['201', 0], { '201': text('PrimitiveInt', { value: 1024 }) }),
    CANVAS,
    [/node 88 .* now takes the size of each job/],
  ),
  file(
    'a size that a formula computes',
    emptyCanvas(['201', 0], ['202', 0], {
      '200': text('PrimitiveInt', { value: 512 }),
      '201': text('SimpleMath+', { value: 'a*2', a: ['200', 0] }),
      '202': text('SimpleMath+', { value: 'a*3/2', a: ['200', 0] }),
    }),
    CANVAS,
    [/node 88 .* now takes the size of each job/],
  ),
  file(
    'a size that is measured on the image',
    emptyCanvas(['201', 0], ['201', 1], {
      '201': text('GetImageSize', { image: ['78', 0] }),
      '93': null,
      '111': { inputs: { image1: ['78', 0] } },
      '110': { inputs: { image1: ['78', 0] } },
    }),
    CANVAS,
  ),
  file(
    'a size that is measured on a scaled image',
    emptyCanvas(['201', 0], ['201', 1], {
      '93': scaler('78'),
      '201': text('GetImageSize', { image: ['93', 0] }),
    }),
    {},
    [/node 93 .* is now an ImageScale/],
  ),
  file(
    'ImageResizeKJv2 with a width and a height',
    changed({
      '93': text('ImageResizeKJv2', {
        image: ['78', 0],
        width: 1024,
        height: 1024,
        upscale_method: 'lanczos',
        keep_proportion: 'crop',
        pad_color: '0, 0, 0',
        crop_position: 'center',
        divisible_by: 16,
        device: 'cpu',
      }),
    }),
  ),
  file(
    'a latent image of the encoder, so that the graph decides its size',
    changed({
      '88': null,
      '93': null,
      '3': { inputs: { latent_image: ['111', 2] } },
      '111': text('TextEncodeQwenImageEditAdvanced', {
        clip: ['38', 0],
        vae: ['39', 0],
        image1: ['78', 0],
        image2: ['106', 0],
        prompt: 'p',
      }),
      '110': { inputs: { image1: ['78', 0] } },
    }),
    { ...NO_SIZE, width: undefined, height: undefined },
  ),
  file('_meta, version and extra beside the nodes', {
    ...plain(),
    _meta: { author: 'a' },
    version: 0.4,
    extra: { ds: [1, 2] },
    last_node_id: 111,
  }),
  file('the body of POST /prompt', { client_id: 'x', prompt: plain(), extra_data: { extra_pnginfo: {} } }),
  file('the request of a hosted worker', { input: { workflow: plain(), images: [] } }),
  file('a graph as JSON in a string', { workflow: JSON.stringify(plain()) }),
  file('an entry of the history', { abc: 1, prompt: [3, 'id', plain(), { client_id: 'x' }, ['60']] }),
  file(
    'Image Saver Simple',
    changed({
      '60': text('Image Saver Simple', {
        images: ['8', 0],
        filename: '%time_%seed',
        path: '%date',
        extension: 'png',
        embed_workflow: true,
      }),
    }),
    {},
    [/node 60 \(Image Saver Simple\) is now a SaveImage/],
  ),
  ...['PreviewImage', 'SaveImageWebsocket', 'ETN_SendImageWebSocket', 'easy imageSave'].map(type =>
    file(`${type} as the only output`, changed({ '60': text(type, { images: ['8', 0] }) }), {}, [
      /node 60 .* is now a SaveImage/,
    ]),
  ),
  file(
    'previews and a comparer beside the result',
    changed({
      '50': text('PreviewImage', { images: ['93', 0] }),
      '51': text('Image Comparer (rgthree)', { image_a: ['78', 0], image_b: ['8', 0] }),
      '52': text('PreviewImage', { images: ['8', 0] }),
    }),
    {},
    [/removed.*node 50 \(PreviewImage\), node 51 \(Image Comparer \(rgthree\)\), node 52/],
  ),
  file(
    'a second pass after a draft that is saved too',
    changed({
      '20': text('SaveImage', { images: ['8', 0], filename_prefix: 'draft' }),
      '61': text('VAEEncode', { pixels: ['8', 0], vae: ['39', 0] }),
      '62': text('KSampler', {
        ...plain()['3']?.inputs,
        latent_image: ['61', 0],
        seed: 8,
        steps: 4,
        denoise: 0.3,
      }),
      '63': text('VAEDecode', { samples: ['62', 0], vae: ['39', 0] }),
      '60': { inputs: { images: ['63', 0] } },
    }),
    { seed: ['3.seed', '62.seed'] },
    [/removed.*node 20 \(SaveImage\)/],
  ),
  ...(
    [
      ['ETN_LoadImageBase64', { image: 'aGVsbG8=' }],
      ['LoadImageBase64', { data: 'aGVsbG8=' }],
      ['easy loadImageBase64', { base64_data: '', image_output: 'Preview', save_prefix: 'ComfyUI' }],
      ['LoadImageOutput', { image: 'harbour.png [output]' }],
      ['LoadImageFromUrl', { url: 'https://images.example/harbour.png' }],
      ['Load Image From Path', { path: '/data/harbour.png' }],
    ] as const
  ).map(([type, inputs]) =>
    file(`${type} for an image`, changed({ '78': text(type, inputs) }), {}, [
      /node 78 .* is now a LoadImage/,
    ]),
  ),
  file(
    'a prompt in PrimitiveStringMultiline',
    changed({
      '111': { inputs: { prompt: ['210', 0] } },
      '210': text('PrimitiveStringMultiline', { value: 'p' }),
    }),
    { prompt: '210.value' },
  ),
  file(
    'a prompt that StringConcatenate joins with a constant',
    changed({
      '111': { inputs: { prompt: ['211', 0] } },
      '210': text('PrimitiveString', { value: 'p' }),
      '211': text('StringConcatenate', {
        string_a: ['210', 0],
        string_b: ', keep the light',
        delimiter: ' ',
      }),
    }),
    { prompt: '210.value' },
  ),
  file(
    'a prompt in CR Text that a node shows on its way',
    changed({
      '111': { inputs: { prompt: ['211', 0] } },
      '210': text('CR Text', { text: 'p' }),
      '211': text('ShowText|pysssss', { text: ['210', 0], text_0: 'what it was last' }),
    }),
    { prompt: '210.text' },
  ),
  file(
    'prompts in easy positive and easy negative',
    changed({
      '111': { inputs: { prompt: ['210', 0] } },
      '110': { inputs: { prompt: ['211', 0] } },
      '210': text('easy positive', { positive: 'p' }),
      '211': text('easy negative', { negative: 'n' }),
    }),
    { prompt: '210.positive', negativePrompt: '211.negative' },
  ),
  file(
    'a prompt in a String Literal behind Text Multiline',
    changed({
      '111': { inputs: { prompt: ['211', 0] } },
      '210': text('String Literal', { string: 'p' }),
      '211': text('Text Multiline', { text: ['210', 0] }),
    }),
    { prompt: '210.string' },
  ),
  file(
    'a prompt that a camera node computes',
    changed({
      '111': { inputs: { prompt: ['210', 0] } },
      '210': text('CameraAngleNode', { horizontal: 45, vertical: 0, zoom: 5 }),
    }),
    {},
    [/node 111 .* now takes prompt from the request/, /removed.*node 210/],
  ),
  file(
    'a negative conditioning that is zeroed',
    changed({
      '110': text('ConditioningZeroOut', { conditioning: ['111', 0] }),
    }),
    { ...NO_NEGATIVE, negativePrompt: undefined },
  ),
  file('one encoder for both sides', changed({ '110': null, '3': { inputs: { negative: ['111', 0] } } }), {
    negativePrompt: undefined,
  }),
  file(
    'reference methods behind both encoders',
    changed({
      '3': { inputs: { positive: ['221', 0], negative: ['220', 0] } },
      '220': text('FluxKontextMultiReferenceLatentMethod', {
        conditioning: ['110', 0],
        reference_latents_method: 'index',
      }),
      '221': text('FluxKontextMultiReferenceLatentMethod', {
        conditioning: ['111', 0],
        reference_latents_method: 'index',
      }),
    }),
  ),
  file(
    'KSamplerAdvanced',
    changed({
      '3': text('KSamplerAdvanced', {
        model: ['75', 0],
        positive: ['111', 0],
        negative: ['110', 0],
        latent_image: ['88', 0],
        add_noise: 'enable',
        noise_seed: 7,
        steps: 20,
        cfg: 2.5,
        sampler_name: 'euler',
        scheduler: 'simple',
        start_at_step: 0,
        end_at_step: 10000,
        return_with_leftover_noise: 'disable',
      }),
    }),
    { seed: '3.noise_seed' },
  ),
  file('SamplerCustomAdvanced with a CFGGuider', customSampler('CFGGuider'), {
    seed: '230.noise_seed',
    steps: '233.steps',
    cfg: '231.cfg',
  }),
  file('SamplerCustomAdvanced with a BasicGuider', customSampler('BasicGuider'), {
    negativePrompt: undefined,
    seed: '230.noise_seed',
    steps: '233.steps',
    cfg: undefined,
  }),
  file(
    'a seed node',
    changed({ '3': { inputs: { seed: ['240', 0] } }, '240': text('Seed (rgthree)', { seed: -1 }) }),
    { seed: '240.seed' },
  ),
  file(
    'one node for all settings of the sampler',
    changed({
      '3': { inputs: { seed: ['240', 0], steps: ['240', 1], cfg: ['240', 2] } },
      '240': text('Input Parameters (Image Saver)', { seed: 7, steps: 20, cfg: 2.5, denoise: 1 }),
    }),
    { seed: '240.seed', steps: '240.steps', cfg: '240.cfg' },
  ),
  file(
    'GGUF loaders',
    changed({
      '37': text('UnetLoaderGGUF', { unet_name: 'Qwen-Image-Edit-2509-Q4_K_M.gguf' }),
      '38': text('CLIPLoaderGGUF', { clip_name: 'Qwen2.5-VL-7B-Instruct-Q4_K_M.gguf', type: 'qwen_image' }),
    }),
  ),
  file(
    'a Nunchaku loader',
    changed({
      '37': text('NunchakuQwenImageDiTLoader', {
        model_name: 'svdq-int4_r32-qwen-image-edit-2509.safetensors',
        cpu_offload: 'auto',
        num_blocks_on_gpu: 1,
        use_pin_memory: 'disable',
      }),
    }),
  ),
  file(
    'a Lightning LoRA',
    changed({
      '89': text('LoraLoaderModelOnly', {
        model: ['37', 0],
        lora_name: 'Qwen-Image-Edit-2509-Lightning-4steps-V1.0-bf16.safetensors',
        strength_model: 1,
      }),
      '66': { inputs: { model: ['89', 0] } },
      '3': { inputs: { steps: 4, cfg: 1 } },
    }),
  ),
  file(
    'a checkpoint that has everything',
    changed({
      '37': text('CheckpointLoaderSimple', { ckpt_name: 'qwen-edit-all.safetensors' }),
      '38': null,
      '39': null,
      '111': { inputs: { clip: ['37', 1], vae: ['37', 2] } },
      '110': { inputs: { clip: ['37', 1], vae: ['37', 2] } },
      '88': { inputs: { vae: ['37', 2] } },
      '8': { inputs: { vae: ['37', 2] } },
    }),
  ),
  file(
    'TextEncodeQwenImageEdit, which takes one image',
    changed({
      '106': null,
      '111': text('TextEncodeQwenImageEdit', {
        clip: ['38', 0],
        vae: ['39', 0],
        image: ['93', 0],
        prompt: 'p',
      }),
      '110': text('TextEncodeQwenImageEdit', {
        clip: ['38', 0],
        vae: ['39', 0],
        image: ['93', 0],
        prompt: '',
      }),
    }),
    { images: ['78.image'] },
  ),
  file(
    'images that are joined, of which none can be absent',
    changed({
      '93': text('ImageScale', {
        image: ['250', 0],
        upscale_method: 'area',
        width: 1024,
        height: 1024,
        crop: 'center',
      }),
      '250': text('ImageConcatenate', { image1: ['78', 0], image2: ['106', 0], direction: 'right' }),
      '111': { inputs: { image2: undefined } },
      '110': { inputs: { image2: undefined } },
    }),
  ),
  file(
    'a canvas that is image 2',
    changed({
      '111': { inputs: { image1: ['106', 0], image2: ['93', 0] } },
      '110': { inputs: { image1: ['106', 0], image2: ['93', 0] } },
    }),
    { images: ['106.image', '78.image'] },
  ),
  file(
    'switches that a constant sets',
    changed({
      '3': { inputs: { steps: ['260', 0], model: ['261', 0] } },
      '260': text('ComfySwitchNode', { switch: ['262', 0], on_false: ['263', 0], on_true: ['264', 0] }),
      '261': text('ComfySwitchNode', { switch: ['262', 0], on_false: ['75', 0], on_true: ['265', 0] }),
      '262': text('PrimitiveBoolean', { value: false }),
      '263': text('PrimitiveInt', { value: 20 }),
      '264': text('PrimitiveInt', { value: 4 }),
      '265': text('LoraLoaderModelOnly', {
        model: ['75', 0],
        lora_name: 'Qwen-Image-Edit-2509-Lightning-4steps-V1.0-bf16.safetensors',
        strength_model: 1,
      }),
    }),
    { steps: '263.value' },
    [/node 260 .* is replaced by its input on_false/, /removed.*node 265/],
  ),
  file(
    'a sampler and a scheduler of node packs',
    changed({ '3': { inputs: { sampler_name: 'res_2s', scheduler: 'beta57' } } }),
  ),
];

function scaler(image: string) {
  return text('ImageScaleToTotalPixels', { image: [image, 0], upscale_method: 'lanczos', megapixels: 1 });
}

function customSampler(guider: 'CFGGuider' | 'BasicGuider') {
  const conditioning =
    guider === 'CFGGuider'
      ? { positive: ['111', 0], negative: ['110', 0], cfg: 2.5 }
      : { conditioning: ['111', 0] };
  return changed({
    '3': text('SamplerCustomAdvanced', {
      noise: ['230', 0],
      guider: ['231', 0],
      sampler: ['232', 0],
      sigmas: ['233', 0],
      latent_image: ['88', 0],
    }),
    '230': text('RandomNoise', { noise_seed: 7 }),
    '231': text(guider, { model: ['75', 0], ...conditioning }),
    '232': text('KSamplerSelect', { sampler_name: 'euler' }),
    '233': text('BasicScheduler', { model: ['75', 0], scheduler: 'simple', steps: 20, denoise: 1 }),
  });
}
