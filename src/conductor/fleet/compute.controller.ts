/**
 * What compute workers call, each with its node's own key. Not part of the public API. A node's organization-side
 * reach is nil, and it may report only on what is placed on it.
 */
import { Body, Controller, Get, Headers, HttpCode, Param, Post, StreamableFile, UseGuards } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import type { IncomingHttpHeaders } from 'node:http';
import type { ImageNewsAnswer } from '../../protocol/image.js';
import type { HeartbeatAnswer, RegisterAnswer } from '../../protocol/node.js';
import type { ReportBatchAnswer } from '../../protocol/report.js';
import { ConsoleSessions } from '../consoles/console-sessions.service.js';
import { ConsoleLogs } from '../console-logs/console-logs.service.js';
import { ApiError } from '../http/api-error.js';
import { keyIn } from '../identity/key-in.js';
import { Caller, type NodePrincipal } from '../identity/principal.js';
import { ImageFetches } from '../images/image-fetches.js';
import { Reports } from '../tasks/reports.js';
import { SnapshotRemovals } from '../snapshots/snapshot-removals.js';
import { VolumePreparations } from '../volumes/volume-preparations.js';
import { VolumeRemovals } from '../volumes/volume-removals.js';
import {
  HeartbeatBody,
  ImageNewsBatchBody,
  PreparedVolumesBody,
  RegisterBody,
  RemovedSnapshotsBody,
  RemovedVolumesBody,
  ReportBatchBody,
} from './compute.dto.js';
import { Heartbeats } from './heartbeats.js';
import { ImageFiles } from './image-files.js';
import { NodeKeyGuard } from './node-key.strategy.js';
import { refuseOldSession } from './node-session.js';
import { Registration } from './registration.js';

@Controller('compute')
@ApiExcludeController()
export class ComputeController {
  constructor(
    private readonly registration: Registration,
    private readonly heartbeats: Heartbeats,
    private readonly reports: Reports,
    private readonly imageFiles: ImageFiles,
    private readonly volumePreparations: VolumePreparations,
    private readonly imageFetches: ImageFetches,
    private readonly volumeRemovals: VolumeRemovals,
    private readonly snapshotRemovals: SnapshotRemovals,
    private readonly consoleLogs: ConsoleLogs,
    private readonly consoles: ConsoleSessions,
  ) {}

  @Post('register')
  async register(@Body() body: RegisterBody, @Headers() headers: IncomingHttpHeaders): Promise<RegisterAnswer> {
    const secret = keyIn(headers);
    if (secret === undefined) throw new ApiError(401, 'Send the join token or the node key as Authorization: Bearer.');
    return this.registration.register(body, secret);
  }

  @Post('heartbeat')
  @UseGuards(NodeKeyGuard)
  async heartbeat(@Body() body: HeartbeatBody, @Caller() node: NodePrincipal): Promise<HeartbeatAnswer> {
    refuseOldSession(node, body.session);
    await this.heartbeats.beat(node.nodeId, body);
    const [consoleLogs, consoles, removeVolumes, prepareVolumes, removeSnapshots, fetchImages] = await Promise.all([
      this.consoleLogs.open(node.nodeId),
      this.consoles.asked(node.nodeId),
      this.volumeRemovals.askedOf(node.nodeId),
      this.volumePreparations.askedOf(node.nodeId),
      this.snapshotRemovals.askedOf(node.nodeId),
      this.imageFetches.askedOf(node.nodeId),
    ]);
    return { consoleLogs, consoles, removeVolumes, prepareVolumes, removeSnapshots, fetchImages };
  }

  @Post('reports')
  @UseGuards(NodeKeyGuard)
  async report(@Body() body: ReportBatchBody, @Caller() node: NodePrincipal): Promise<ReportBatchAnswer> {
    refuseOldSession(node, body.session);
    return { verdicts: await this.reports.accept(node.nodeId, body.reports) };
  }

  @Post('removed-volumes')
  @UseGuards(NodeKeyGuard)
  async volumesRemoved(@Body() body: RemovedVolumesBody, @Caller() node: NodePrincipal): Promise<{ status: true }> {
    refuseOldSession(node, body.session);
    await this.volumeRemovals.confirm(node.nodeId, body.volumes);
    return { status: true };
  }

  @Post('removed-snapshots')
  @UseGuards(NodeKeyGuard)
  async snapshotsRemoved(@Body() body: RemovedSnapshotsBody, @Caller() node: NodePrincipal): Promise<{ status: true }> {
    refuseOldSession(node, body.session);
    await this.snapshotRemovals.confirm(node.nodeId, body.snapshots);
    return { status: true };
  }

  @Post('prepared-volumes')
  @UseGuards(NodeKeyGuard)
  async volumesPrepared(@Body() body: PreparedVolumesBody, @Caller() node: NodePrincipal): Promise<{ status: true }> {
    refuseOldSession(node, body.session);
    await this.volumePreparations.confirm(node.nodeId, body.volumes);
    return { status: true };
  }

  @Post('image-news')
  @HttpCode(200)
  @UseGuards(NodeKeyGuard)
  async imageNews(@Body() body: ImageNewsBatchBody, @Caller() node: NodePrincipal): Promise<ImageNewsAnswer> {
    refuseOldSession(node, body.session);
    return { stop: await this.imageFetches.accept(node.nodeId, body.news) };
  }

  @Get('uploaded-images/:name')
  @UseGuards(NodeKeyGuard)
  async uploadedImage(@Param('name') name: string): Promise<StreamableFile> {
    return this.imageFiles.openUpload(name);
  }

  @Get('image-files/:sha256')
  @UseGuards(NodeKeyGuard)
  async imageFile(@Param('sha256') sha256: string): Promise<StreamableFile> {
    return this.imageFiles.open(sha256);
  }
}
