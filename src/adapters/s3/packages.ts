type Client = typeof import('@aws-sdk/client-s3');
type Storage = typeof import('@aws-sdk/lib-storage');
type Presigner = typeof import('@aws-sdk/s3-request-presigner');

/** The AWS packages: optional dependencies, tens of megabytes that only a gateway with S3 needs. */
export interface S3Packages extends Pick<Storage, 'Upload'>, Pick<Presigner, 'getSignedUrl'> {
  readonly client: Client;
}

/** Loads them. Rejects with what to install when they are left out. */
export async function loadS3Packages(): Promise<S3Packages> {
  try {
    const [client, { Upload }, { getSignedUrl }] = await Promise.all([
      import('@aws-sdk/client-s3'),
      import('@aws-sdk/lib-storage'),
      import('@aws-sdk/s3-request-presigner'),
    ]);
    return { client, Upload, getSignedUrl };
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND')) throw error;
    throw new Error(
      'ARTIFACTS_URL: s3:// needs optional packages that are not installed: ' +
        'npm install @aws-sdk/client-s3 @aws-sdk/lib-storage @aws-sdk/s3-request-presigner',
      { cause: error },
    );
  }
}
