import type { InputImage, Job, OutputImage, PreviewFrame, StoredImage } from '../../jobs/job.ts';
import type { Builder } from '../builder.ts';
import type { NodeInterface, NodeValue } from './node-interface.ts';

/** An image of a job, with the job. */
interface Of<T> {
  readonly job: Job;
  readonly value: T;
}

const DESCRIPTION_OF_URL =
  'Add `format`, `quality` or `width` to its query for another version of the image. Where callers need credentials, ' +
  'the URL is signed and works without them for some minutes, as in an `<img>`.';

/** Adds the images of a job. Returns references to them. */
export function addImages(builder: Builder, Node: NodeInterface) {
  const OutputImageType = builder
    .objectRef<Of<OutputImage> & { readonly index: number }>('EditOutputImage')
    .implement({
      description: 'A finished image.',
      interfaces: [Node],
      fields: t => ({
        id: t.id({ resolve: ({ job, index }) => `${job.id}:output:${index}` }),
        url: t.field({
          type: 'URL',
          description: DESCRIPTION_OF_URL,
          resolve: ({ job, index }, _, { baseUrl, imageUrls }) =>
            `${baseUrl}${imageUrls.output(job.id, index)}`,
        }),
        width: t.int({ resolve: ({ value }) => value.width }),
        height: t.int({ resolve: ({ value }) => value.height }),
        mimeType: t.string({ resolve: ({ value }) => value.mimeType }),
        bytes: t.int({
          description: 'Size of the file at `url`.',
          resolve: ({ value }) => value.bytes,
        }),
        filename: t.string({ resolve: ({ value }) => value.filename }),
      }),
    });

  const PreviewImageType = builder.objectRef<Of<PreviewFrame>>('EditPreviewImage').implement({
    description: 'The newest preview of a running job; removed when it ends.',
    interfaces: [Node],
    fields: t => ({
      id: t.id({
        description: 'The same for all previews of a job.',
        resolve: ({ job }) => `${job.id}:preview`,
      }),
      url: t.field({
        type: 'URL',
        description: 'Changes with each preview.',
        resolve: ({ job, value }, _, { baseUrl, imageUrls }) =>
          `${baseUrl}${imageUrls.preview(job.id, value.sequence)}`,
      }),
      mimeType: t.string({ resolve: ({ value }) => value.mimeType }),
      width: t.int({ resolve: ({ value }) => value.width }),
      height: t.int({ resolve: ({ value }) => value.height }),
      dataUri: t.string({
        nullable: true,
        description: 'The image itself. Select it only if you show it: it is sent with every event.',
        resolve: async ({ job }, _, { previews }) => {
          const frame = await previews.get(job.id);
          if (frame === null) return null;
          return `data:${frame.mimeType};base64,${Buffer.from(frame.bytes).toString('base64')}`;
        },
      }),
    }),
  });

  const InputImageType = builder.objectRef<Of<InputImage>>('EditInputImage').implement({
    description: 'An input image of the job.',
    interfaces: [Node],
    fields: t => ({
      id: t.id({ resolve: ({ job, value }) => `${job.id}:input:${value.slot}` }),
      slot: t.int({
        description: 'Its number in the prompt ("image 1").',
        resolve: ({ value }) => value.slot,
      }),
      url: t.field({
        type: 'URL',
        nullable: true,
        description:
          'The image as it was loaded, kept as long as the job. Null when its file is gone. Looked up in the store of ' +
          'images: select it once, not in a subscription.',
        resolve: async ({ job, value }, _, { baseUrl, imageUrls, jobs }) =>
          (await jobs.hasInput(value)) ? `${baseUrl}${imageUrls.input(job.id, value.slot)}` : null,
      }),
      source: t.string({
        description: 'Where it came from: the URL as given, `data:`, `upload:<id>` or `job:<id>`.',
        resolve: ({ value }) => value.source,
      }),
      width: t.int({ resolve: ({ value }) => value.width }),
      height: t.int({ resolve: ({ value }) => value.height }),
      mimeType: t.string({ resolve: ({ value }) => value.mimeType }),
      bytes: t.int({ resolve: ({ value }) => value.bytes }),
    }),
  });

  const MaskType = builder.objectRef<Of<StoredImage>>('EditMask').implement({
    description: 'The mask of the job: a grey PNG of the size of image 1, white where the image changes.',
    interfaces: [Node],
    fields: t => ({
      id: t.id({ resolve: ({ job }) => `${job.id}:mask` }),
      url: t.field({
        type: 'URL',
        nullable: true,
        description: 'Null when its file is gone. Select it once, not in a subscription.',
        resolve: async ({ job, value }, _, { baseUrl, imageUrls, jobs }) =>
          (await jobs.hasInput(value)) ? `${baseUrl}${imageUrls.input(job.id, 'mask')}` : null,
      }),
      source: t.string({
        description: 'Where it came from: the URL as given, `data:`, `upload:<id>` or `job:<id>`.',
        resolve: ({ value }) => value.source,
      }),
      width: t.int({ resolve: ({ value }) => value.width }),
      height: t.int({ resolve: ({ value }) => value.height }),
      mimeType: t.string({ resolve: ({ value }) => value.mimeType }),
      bytes: t.int({ resolve: ({ value }) => value.bytes }),
    }),
  });

  return { OutputImageType, PreviewImageType, InputImageType, MaskType };
}

/** The image of a job whose id ends in this way, after that of the job; null: it has no such image. */
export function imageOf(job: Job, part: string): NodeValue | null {
  const [kind, number] = part.split(':');
  switch (kind) {
    case 'input': {
      const value = job.request.images.find(({ slot }) => String(slot) === number);
      return value === undefined ? null : { __typename: 'EditInputImage', job, value };
    }
    case 'output': {
      const index = job.outputs.findIndex((_, at) => String(at) === number);
      const value = job.outputs[index];
      return value === undefined ? null : { __typename: 'EditOutputImage', job, value, index };
    }
    case 'mask':
      return job.request.mask === undefined ? null : { __typename: 'EditMask', job, value: job.request.mask };
    default:
      return job.preview === null ? null : { __typename: 'EditPreviewImage', job, value: job.preview };
  }
}
