# Built from the lock file, run without development tools and not as root.
#   docker build -t lockgate .
#   docker run -v lockgate:/data -e DATABASE_URL=... lockgate serve --role worker
#   docker run -p 3000:3000 -e LOCKGATE_HOST=0.0.0.0 -e LOCKGATE_TRUSTED_PROXIES=10.0.0.0/8 ... lockgate serve --role api
# Pin the base image by digest in production.
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts scripts
COPY connectors connectors
COPY src src
COPY web web
RUN npm run build && npm prune --omit=dev --no-audit --no-fund

FROM node:24-bookworm-slim
ENV NODE_ENV=production \
    LOCKGATE_DATA_DIR=/data
WORKDIR /app
COPY --from=build --chown=root:root /app/package.json ./
COPY --from=build --chown=root:root /app/node_modules node_modules
COPY --from=build --chown=root:root /app/dist dist
COPY --chown=root:root bin bin
RUN ln -s /app/bin/lockgate /usr/local/bin/lockgate && install -d -o node -g node -m 0711 /data /keys /identity
USER node
VOLUME /data
# Each part is tried: data folder, database, secret manager, content store.
HEALTHCHECK --interval=60s --timeout=20s --start-period=30s --retries=3 CMD ["lockgate", "doctor"]
ENTRYPOINT ["lockgate"]
EXPOSE 3000
CMD ["serve"]
