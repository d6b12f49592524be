// Loaded by `node --require` in a staysigned run. Node before 22.21 has no proxy of its own: this sends `fetch`, `http`
// and `https` through HTTPS_PROXY by CONNECT. Newer versions do it themselves (NODE_USE_ENV_PROXY) and are left alone.
'use strict';
(() => {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const address = process.env.HTTPS_PROXY;
  if (!address || major >= 24 || (major === 22 && minor >= 21)) return;
  const http = require('http');
  const https = require('https');
  const net = require('net');
  const tls = require('tls');
  const proxy = new URL(address);
  const direct = (process.env.NO_PROXY || '').toLowerCase().split(',').filter(Boolean);
  const bypassed = (host) => direct.some((entry) => {
    const name = entry.replace(/^\*?\./, '');
    return host === name || host.endsWith('.' + name);
  });
  const login = proxy.username && 'Basic ' + Buffer.from(
    decodeURIComponent(proxy.username) + ':' + decodeURIComponent(proxy.password)).toString('base64');

  // Opens a connection to host:port, through the proxy unless the host is bypassed.
  const open = (host, port, secure, options, done) => {
    host = host.replace(/^\[|\]$/g, '').toLowerCase();
    const finish = (socket) => {
      if (!secure) return done(null, socket);
      const servername = options.servername || (net.isIP(host) ? '' : host);
      const over = tls.connect({ ...options, path: undefined, host, port, socket, servername });
      over.once('error', done);
      over.once('secureConnect', () => { over.removeListener('error', done); done(null, over); });
    };
    if (bypassed(host)) {
      const socket = net.connect({ host, port });
      socket.once('error', done);
      return socket.once('connect', () => { socket.removeListener('error', done); finish(socket); });
    }
    const authority = (net.isIPv6(host) ? `[${host}]` : host) + ':' + port;
    const request = http.request({
      method: 'CONNECT', path: authority, headers: { host: authority, ...(login && { 'proxy-authorization': login }) },
      // Not by an agent: those are ours from here on.
      createConnection: () => net.connect(proxy.port || 80, proxy.hostname.replace(/^\[|\]$/g, '')),
    });
    request.once('connect', (answer, socket) => {
      if (answer.statusCode === 200) return finish(socket);
      socket.destroy();
      done(new Error(`the proxy answered CONNECT ${authority} with ${answer.statusCode}`));
    });
    request.once('error', done);
    request.end();
  };

  // All agents, also those that libraries make for themselves; one that is a proxy's overrides this method.
  for (const [{ prototype }, secure] of [[http.Agent, false], [https.Agent, true]]) {
    const unchanged = prototype.createConnection;
    prototype.createConnection = function (options, done) {
      if (options.socketPath) return unchanged.call(this, options, done);
      open(options.host || 'localhost', options.port || (secure ? 443 : 80), secure, options, done);
    };
  }

  // `fetch` asks the dispatcher under this symbol; its class is not exported, but reached through an instance.
  const symbol = Symbol.for('undici.globalDispatcher.1');
  if (typeof fetch !== 'function') return;
  fetch('data:,').catch(() => {});
  const dispatcher = globalThis[symbol];
  if (!dispatcher) return;
  globalThis[symbol] = new dispatcher.constructor({
    connect(options, done) {
      const secure = options.protocol === 'https:';
      const { servername } = options;
      open(options.hostname, options.port || (secure ? 443 : 80), secure,
        { servername, ALPNProtocols: ['http/1.1'] }, done);
    },
  });
})();
