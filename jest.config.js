/**
 * Two projects: `unit` (beside the code, no server needed) and `e2e` (under test/, against the servers that bin/test
 * starts). Run through `NODE_OPTIONS=--experimental-vm-modules`, because NestJS 12 is ESM only.
 */
const shared = {
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '^.+\\.ts$': '@swc/jest' },
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
};

export default {
  projects: [
    { ...shared, displayName: 'unit', roots: ['<rootDir>/src'], testMatch: ['**/*.test.ts'] },
    { ...shared, displayName: 'e2e', roots: ['<rootDir>/test'], testMatch: ['**/*.test.ts'] },
  ],
};
