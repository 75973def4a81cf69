/** A landscape of 64×64 pixels, so that the first example needs no other server. */
const LANDSCAPE =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAEAAAABAAgMAAADXB5lNAAAABlBMVEVKkNlcuFyqma99AAAACXBIWXMAAAsTAAALEwEAmpwY' +
  'AAAAFklEQVQ4y2NgGAWjYAiAUDQwKjAoBACkK3+BUoOdEQAAAABJRU5ErkJggg==';

/** Bodies of POST `/edit-image`. The page at `/docs` offers the first, which runs as it is. */
export const EDIT_EXAMPLES = {
  embedded: {
    summary: 'An image in the request',
    value: { image1_url: LANDSCAPE, prompt: 'Make it night', seed: 12345, steps: 8 },
  },
  urls: {
    summary: 'Images by URL',
    value: {
      image1_url: 'https://example.com/image1.jpg',
      image2_url: 'https://example.com/image2.jpg',
      image3_url: 'https://example.com/image3.jpg',
      prompt: 'Combine elements from all images',
      negative_prompt: 'blurry, low quality',
      seed: 12345,
      steps: 40,
      cfg: 4,
      megapixels: 1,
    },
  },
};
