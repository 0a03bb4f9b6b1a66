# codex-proxy in a container: docs/DEPLOY.md says how to run it.
#
#   docker build --build-arg COMMIT="$(git rev-parse --short HEAD)" -t codex-proxy .
#
# The program needs nothing but glibc, and the last stage runs no command: RUNTIME may be any image with glibc, also one
# without a shell, such as gcr.io/distroless/base-nossl-debian12, and an image for another processor needs no emulator.

ARG BUILDER=node:22-bookworm-slim
ARG RUNTIME=debian:bookworm-slim

# A release puts its own executables in the place of this stage (--build-context build=FOLDER), so that image and zip hold
# the very same bytes: FOLDER has folders/ as below, and program/amd64 and program/arm64.
FROM ${BUILDER} AS build
WORKDIR /src
COPY package.json package-lock.json bunfig.toml ./
# npm may have been told not to run install scripts; then Bun is still a stub that fails.
RUN npm ci --no-audit --no-fund \
  && { node_modules/.bin/bun --version >/dev/null 2>&1 || node node_modules/bun/install.js; }
COPY tsconfig.json ./
COPY scripts/build.ts scripts/
COPY src src
ARG COMMIT=unknown
RUN BUILD_COMMIT="${COMMIT}" npm run build \
  && install -D -m 0755 dist/codex-proxy /program/codex-proxy
# Volumes that are made anew take over the owner and the mode of what the image has in their place.
RUN install -d -m 0750 /folders/config && install -d -m 0700 /folders/auths

FROM ${RUNTIME}
# By number, so that engines can tell that it is not root; it needs no entry in /etc/passwd.
ARG OWNER=10001
# BY_PLATFORM=1 where the executables come from a release.
ARG BY_PLATFORM=
ARG TARGETARCH
COPY --from=build --chown=${OWNER}:${OWNER} /folders/ /
COPY --from=build /program${BY_PLATFORM:+/$TARGETARCH}/codex-proxy /usr/local/bin/codex-proxy
# config.yaml is read from here if there is one. Every key can come from the environment instead, and wins over the file
# then: CODEX_PROXY_LISTEN, CODEX_PROXY_API_KEYS (several: with commas), CODEX_PROXY_DB_HOST, and so on.
WORKDIR /config
ENV CODEX_PROXY_AUTH_DIR=/auths CODEX_PROXY_LISTEN=:8080
VOLUME ["/config", "/auths"]
EXPOSE 8080
USER ${OWNER}:${OWNER}
# The program is process 1: it takes SIGTERM and SIGINT itself, and starts no other process that would want reaping.
# A renewal that is under way when it is told to stop is waited for: give it time (docker stop -t 45).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["/usr/local/bin/codex-proxy", "health"]
ENTRYPOINT ["/usr/local/bin/codex-proxy"]
CMD ["serve"]
