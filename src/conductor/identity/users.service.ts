/** Reads users. Who they are is written by the operator (seed, admin commands), never through the API. */
import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import type { UserId } from '../../protocol/ids.js';
import { notFound } from '../http/api-error.js';
import { apiTime } from '../http/envelope.js';
import type { AuthUserFields } from './identity.responses.js';
import { UserAccount } from './user-account.entity.js';

@Injectable()
export class UsersService {
  constructor(@InjectRepository(UserAccount) private readonly users: Repository<UserAccount>) {}

  async get(id: UserId): Promise<AuthUserFields> {
    const user = await this.users.findOneBy({ id });
    if (user === null) throw notFound('The user');
    return { name: user.name, email: user.email, username: user.username, created_at: apiTime(user.createdAt) };
  }
}
