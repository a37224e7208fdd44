declare module 'virtual:endpoints' {
  const endpoints: import('../../src/client/transport.ts').Endpoints;
  export default endpoints;
}

declare module 'get-nonce' {
  export function setNonce(nonce: string): void;
}
