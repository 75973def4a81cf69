# docker build -t qwen-edit-gateway .
# docker run -p 127.0.0.1:8189:8189 -v qwen-edit:/data -e COMFYUI_URL=http://gpu-box:8188 -e API_KEYS=… qwen-edit-gateway

FROM node:24-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
# Never --omit=optional: sharp ships its binaries as optional packages, one per platform. The scripts would build the
# pages and the bundle, which are built below.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund
# Artifacts in S3, and traces.
COPY src/adapters/s3/package.json src/adapters/s3/package-lock.json src/adapters/s3/
COPY src/telemetry/otlp/package.json src/telemetry/otlp/package-lock.json src/telemetry/otlp/
RUN npm ci --prefix src/adapters/s3 --ignore-scripts --no-audit --no-fund \
  && npm ci --prefix src/telemetry/otlp --ignore-scripts --no-audit --no-fund

FROM node:24-slim AS built
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json built.js build-into.ts build-pages.ts build-server.ts build-start.ts ./
COPY pages pages
COPY src src
RUN node build-start.ts

FROM node:24-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8189 DATA_DIR=/data
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
COPY package.json ./
COPY schema schema
COPY workflows workflows
COPY bin bin
COPY src src
COPY --from=packages /app/src src
COPY --from=built /app/dist dist
RUN mkdir /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 8189
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --start-interval=1s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.PORT + '/livez').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "dist/server/main.js"]
