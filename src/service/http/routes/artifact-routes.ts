import { Readable } from 'node:stream'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { RpcError } from '../../../base/errors.ts'
import type { ArtifactUploads, UploadStatus } from '../../../base/artifact-uploads.ts'
import { coordinatorOnly } from '../coordinator-only.ts'
import { DIGEST } from '../deployment-wire.ts'
import type { App } from '../fastify-app.ts'
import { toWire } from '../field-names.ts'
import type { RouteNeeds } from '../http-needs.ts'
import { answers, WIRE } from '../wire.ts'

const BUNDLE_TYPE = 'application/octet-stream'

const ARTIFACT = z
  .object({
    digest: z.string().register(WIRE, { description: 'SHA-256 of the bundle, lower-case hex' }),
    size_bytes: z.number(),
    service: z.string(),
    version: z.string(),
    stored_at_ms: z.number().register(WIRE, { description: 'Unix milliseconds' }),
  })
  .register(WIRE, { id: 'Artifact' })

const UPLOAD = z
  .object({
    digest: z.string(),
    size_bytes: z.number(),
    offset: z.number().register(WIRE, { description: 'Bytes that are here: where the next part begins' }),
    artifact: ARTIFACT.optional().register(WIRE, { description: 'There when the upload is whole and was checked' }),
  })
  .register(WIRE, { id: 'Upload' })

/** Header of every answer about an upload (draft-ietf-httpbis-resumable-upload section 4.1). */
const OFFSET_HEADER = 'upload-offset'

const tags = ['artifacts']
const PARAMS = z.object({ digest: DIGEST })

/** Bundles of services, coordinator only: in parts, in order, each going on where the last one ended. */
export function registerArtifactRoutes(app: App, needs: RouteNeeds): void {
  const uploads = (): ArtifactUploads => {
    if (needs.artifacts) return needs.artifacts
    throw coordinatorOnly(needs.membership, 'keep the bundles of services')
  }
  /** @throws {RpcError} P2P_ARTIFACT_UNKNOWN */
  const known = async (digest: string): Promise<UploadStatus> => {
    const status = await uploads().status(digest)
    if (status) return status
    throw new RpcError(
      'P2P_ARTIFACT_UNKNOWN',
      `There is no bundle ${digest.slice(0, 12)}…, and none is on its way; begin with POST /api/artifacts`,
      { digest },
    )
  }

  app.route({
    method: 'GET',
    url: '/api/artifacts',
    schema: {
      operationId: 'listArtifacts',
      summary: 'The bundles that are kept, newest first',
      tags,
      response: answers({ 200: z.object({ artifacts: z.array(ARTIFACT) }) }),
    },
    handler: async () => ({ artifacts: toWire(await uploads().list()) }),
  })

  app.route({
    method: 'GET',
    url: '/api/artifacts/:digest',
    schema: {
      operationId: 'getArtifact',
      summary: 'One bundle, or how far its upload is',
      description: 'HEAD answers with `Upload-Offset` alone.',
      tags,
      params: PARAMS,
      response: answers({ 200: UPLOAD }),
    },
    handler: async ({ params: { digest } }, reply) => {
      const status = await known(digest)
      void reply.header(OFFSET_HEADER, status.offset)
      return toWire(status)
    },
  })

  app.route({
    method: 'POST',
    url: '/api/artifacts',
    schema: {
      operationId: 'beginUpload',
      summary: 'Begins the upload of a bundle, or goes on with it',
      description:
        '200 with `artifact` when the bundle is already here, else 201: send the bytes from `offset` on by `PUT /api/artifacts/{digest}`, in one part or several.',
      tags,
      body: z.strictObject({ digest: DIGEST, size_bytes: z.int().min(1).max(Number.MAX_SAFE_INTEGER) }),
      response: answers({ 200: UPLOAD, 201: UPLOAD }),
    },
    handler: async ({ body: { digest, size_bytes: sizeBytes } }, reply) => {
      const status = await uploads().begin({ digest, sizeBytes })
      void reply.header(OFFSET_HEADER, status.offset)
      return reply.code(status.artifact ? 200 : 201).send(toWire(status))
    },
  })

  // Only here a body is taken as it comes, unread and without a bound of its own: the announced size is one.
  void app.register(async (plugin) => {
    const scope: App = plugin.withTypeProvider<ZodTypeProvider>()
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser(BUNDLE_TYPE, (_request, payload, done) => done(null, payload))
    scope.route({
      method: 'PUT',
      url: '/api/artifacts/:digest',
      schema: {
        operationId: 'uploadPart',
        summary: 'Bytes of a bundle; the last ones make it whole, and it is checked',
        description: `\`${BUNDLE_TYPE}\`. What came before a connection broke is kept: ask where to go on. With every byte here an empty part asks for the check again.`,
        tags,
        params: PARAMS,
        querystring: z.strictObject({
          offset: z
            .string()
            .regex(/^\d{1,15}$/, 'must be a whole number')
            .transform(Number)
            .register(WIRE, { description: 'Where in the bundle the part begins: the `offset` answered last' }),
        }),
        response: answers({ 200: UPLOAD }),
      },
      handler: async (request, reply) => {
        const { digest } = request.params
        await known(digest)
        const body: unknown = request.body
        const source = body instanceof Readable ? body : Readable.from([])
        let status = await uploads().append(digest, request.query.offset, source)
        if (status.offset === status.sizeBytes && !status.artifact) status = await uploads().commit(digest)
        void reply.header(OFFSET_HEADER, status.offset)
        return toWire(status)
      },
    })
  })
}
