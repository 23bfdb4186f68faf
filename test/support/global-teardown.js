/** Stops what global-setup.js started. */
export default async function teardown() {
  await Promise.all(globalThis.batonTestServers.map((server) => server.stop()));
}
