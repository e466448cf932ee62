export { createFetchJson, type FetchJson } from '../auth/oidc-fetch.ts'
export { createOidc, type Oidc, type OidcOptions } from '../auth/oidc.ts'
export { createPeople, type People, type PeopleNeeds } from '../auth/people.ts'
export { type AccessToken, createTokenIssuer, type TokenIssuer, type TokenIssuerNeeds } from '../auth/token-issuer.ts'
