/** Says in the OpenAPI document which errors an operation answers with; 400, 401 and 500 are possible everywhere. */
import { applyDecorators } from '@nestjs/common';
import { ApiResponse } from '@nestjs/swagger';
import { ERROR_REASONS, type ErrorStatus } from './api-error.js';
import { ErrorEnvelope } from './envelope.js';

const EVERYWHERE: readonly ErrorStatus[] = [400, 401, 500];

export const DocumentedErrors = (...statuses: ErrorStatus[]): MethodDecorator =>
  applyDecorators(
    ...[...EVERYWHERE, ...statuses].map((status) =>
      ApiResponse({ status, type: ErrorEnvelope, description: ERROR_REASONS[status] }),
    ),
  );
