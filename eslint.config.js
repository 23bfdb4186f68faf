import tseslint from 'typescript-eslint';

/** Folders a role may not reach into: the arrows of the architecture point one way (see docs/architecture.md). */
const forbid = (files, ...groups) => ({
  files,
  rules: { 'no-restricted-imports': ['error', { patterns: groups.map(([group, message]) => ({ group, message })) }] },
});

const noShell = {
  group: ['child_process', 'node:child_process'],
  importNames: ['exec', 'execSync'],
  message: 'Commands run as execFile(file, args): never through a shell string.',
};

export default tseslint.config(
  { ignores: ['dist/**', 'build/**', 'var/**', 'node_modules/**', 'web/dist/**'] },
  ...tseslint.configs.recommended,
  {
    files: ['src/**/*.ts', 'test/**/*.ts', 'bench/**/*.ts', 'chaos/**/*.ts'],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/consistent-type-imports': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      eqeqeq: 'error',
      'no-restricted-imports': ['error', { patterns: [noShell] }],
    },
  },
  forbid(
    ['src/protocol/**/*.ts'],
    [['@nestjs/*', 'typeorm', '**/conductor/**', '**/compute/**', '**/messaging/**'], 'protocol stands alone.'],
  ),
  forbid(
    ['src/egress/**/*.ts', 'src/image-format/**/*.ts'],
    [
      ['@nestjs/*', 'typeorm', '**/conductor/**', '**/compute/**', '**/messaging/**', '**/protocol/**', '**/config/**'],
      'What both roles check by stands alone.',
    ],
  ),
  forbid(
    ['src/messaging/**/*.ts'],
    [['@nestjs/*', 'typeorm', '**/conductor/**', '**/compute/**'], 'messaging knows only protocol.'],
  ),
  forbid(
    ['src/compute/**/*.ts'],
    [['typeorm', '@nestjs/typeorm', 'pg', '**/conductor/**'], 'A compute worker has no database: it talks REST.'],
  ),
  forbid(
    ['src/conductor/scheduling/*/*.ts', 'src/conductor/scheduling/placement.ts'],
    [['typeorm', '@nestjs/*', 'pg'], 'Placement is pure: no Nest, no database.'],
  ),
  forbid(['src/conductor/**/*.ts'], [['**/compute/**'], 'The conductor reaches a worker only by task and REST.']),
);
