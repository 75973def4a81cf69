/** The largest seed, 2^64-1: KSampler's own limit (`nodes.py` of ComfyUI). */
export const SEED_MAX = 18_446_744_073_709_551_615n;
