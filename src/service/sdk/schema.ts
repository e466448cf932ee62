/**
 * A schema of any library that follows Standard Schema (https://standardschema.dev): Zod, Valibot, ArkType …
 * Where it also has `jsonSchema` (Standard JSON Schema), the method appears in OpenAPI with its types.
 */
export interface Schema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
    readonly jsonSchema?: {
      readonly input: (options: { target: string }) => Record<string, unknown>
      readonly output: (options: { target: string }) => Record<string, unknown>
    }
  }
}

export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] }

export interface SchemaIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/** What a caller may write. */
export type InputOf<S extends Schema> = NonNullable<S['~standard']['types']>['input']
/** What the method gets: defaults filled in, transforms applied. */
export type OutputOf<S extends Schema> = NonNullable<S['~standard']['types']>['output']
