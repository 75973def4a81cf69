import landscape from './samples/landscape.jpg';
import portrait from './samples/portrait.jpg';

/** The images of a person's first minute, which the default prompt speaks of. */
export const SAMPLES = [
  { name: 'portrait.jpg', url: portrait, width: 768, height: 768 },
  { name: 'landscape.jpg', url: landscape, width: 1024, height: 683 },
] as const;
