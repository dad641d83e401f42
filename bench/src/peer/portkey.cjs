// What Portkey's gateway has no setting for; loaded before it (`node --require`).
'use strict';
const net = require('node:net');

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  // It keeps the connections of its clients for Node's 5 s; the other peers keep theirs for longer than the bench
  // leaves one alone.
  if ('keepAliveTimeout' in this) this.keepAliveTimeout = 600_000;
  // It listens on all addresses; servers of the bench stay on loopback.
  const rests = rest.filter((value) => typeof value === 'function');
  return listen.call(this, Number(port), '127.0.0.1', 4096, ...rests);
};
