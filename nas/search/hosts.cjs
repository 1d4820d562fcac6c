// For searches whose trials run on other machines; required by node before NNI, after loopback.cjs and gpus.cjs.
//
// 1. NNI's servers, which listen on 127.0.0.1, listen on one more address, B0NAS_ADDRESS, at which those machines
//    reach them; where there is a B0NAS_PEERS, those that it names are let in alone.
// 2. NNI 3.0 does not notice a machine that falls silent for the quarter of an hour that TCP takes, waits for ever for
//    what it asked of one that is gone, and ends itself where an SSH connection breaks. Here silence of SILENCE seconds
//    is an end (half a minute later NNI itself counts the machine as lost, and its trials as cancelled), questions to
//    what is lost fail, broken connections are logged, and the others go on.
'use strict'
const net = require('net')
const mend = require('./mending.cjs')

const SILENCE = 30 // seconds
const ADDRESS = process.env.B0NAS_ADDRESS
const PEERS = process.env.B0NAS_PEERS === undefined ? null : process.env.B0NAS_PEERS.split(',')
const HOME = '127.0.0.1'
const say = (...words) => console.error('b0nas:', ...words)

if (ADDRESS) {
  const emit = net.Server.prototype.emit
  net.Server.prototype.emit = function (event, ...words) {
    const at = event === 'listening' ? this.address() : null
    if (at && typeof at === 'object' && at.address === HOME && !this.b0nasDoor) open(this, at.port)
    return emit.call(this, event, ...words)
  }
}

function open (server, port) {
  const door = net.createServer(socket => {
    const from = (socket.remoteAddress || '').replace(/^::ffff:/, '')
    if (PEERS && from !== ADDRESS && !PEERS.includes(from)) {
      say(`refused a connection from ${from}, which is none of the hosts`)
      socket.destroy()
    } else {
      server.emit('connection', socket)
    }
  })
  door.b0nasDoor = server.b0nasDoor = true
  door.on('error', error => say(`port ${port} of ${ADDRESS} cannot be listened on: ${error.message}`))
  door.listen(port, ADDRESS)
  server.on('close', () => door.close())
}

mend(/(connection|channel|rpc_util|ssh2|remote|compat|ioc_shim)$/, {
  WsConnection (found) { // of a machine's trial keeper, whose channels have numbers for names
    const heartbeat = found.prototype.heartbeat
    found.prototype.heartbeat = function () {
      if (!/^\d/.test(this.commandEmitter.b0nasName || '')) return heartbeat.call(this)
      if (!this.b0nasHeard) {
        this.b0nasHeard = Date.now()
        for (const event of ['pong', 'message']) this.ws.on(event, () => { this.b0nasHeard = Date.now() })
      }
      if (Date.now() - this.b0nasHeard < SILENCE * 1000) return this.ws.ping()
      clearInterval(this.heartbeatTimer)
      this.log.error(`Nothing was heard for ${SILENCE} s; the connection is given up`)
      this.ws.terminate()
    }
  },
  WsChannel (found) {
    const configure = found.prototype.configConnection
    found.prototype.configConnection = function (ws) {
      this.emitter.b0nasName = this.name
      return configure.call(this, ws)
    }
  },
  RpcHelper (found) {
    const wait = found.prototype.waitResponse
    found.prototype.waitResponse = function (id) {
      if (!this.b0nasWaiting) {
        const waiting = this.b0nasWaiting = new Map()
        const lose = error => {
          this.b0nasLost = error
          for (const reject of waiting.values()) reject(error)
        }
        this.channel.onError(lose)
        this.channel.onClose(() => lose(new Error('the channel was closed')))
      }
      return new Promise((resolve, reject) => {
        this.b0nasWaiting.set(id, reject)
        wait.call(this, id).then(resolve, reject)
        if (this.b0nasLost) reject(this.b0nasLost)
      }).finally(() => { // nothing of a question stays; NNI keeps every answer
        this.b0nasWaiting.delete(id)
        this.responses.delete(id)
      })
    }
  },
  Client (found) { // ssh2's
    const connect = found.prototype.connect
    found.prototype.connect = function (config) {
      this.on('error', error => say(`SSH to ${config.host}: ${error.message}`))
      return connect.call(this, { keepaliveInterval: 10000, keepaliveCountMax: SILENCE / 10, ...config })
    }
  },
  RemoteTrainingServiceV3 (found) {
    const launch = found.prototype.launchWorker
    found.prototype.launchWorker = async function (config) {
      const before = new Set(this.workers)
      try {
        return await launch.call(this, config)
      } catch (error) {
        say(`${config.host} does not take part: ${String(error && error.message).split('\n')[0]}`)
        for (const worker of this.workers.filter(one => !before.has(one) && one.config === config)) {
          this.stopWorker(worker, true)
        }
        throw error
      }
    }
    found.prototype.start = async function () { // as many as there are
      await this.server.start()
      const begun = await Promise.allSettled(this.config.machineList.map(config => this.launchWorker(config)))
      const failed = begun.filter(one => one.status === 'rejected')
      if (failed.length === begun.length) throw failed[0].reason
      return this.workers.map(worker => worker.env)
    }
  },
  IocShim (found) { // of several services, this machine's asks for a shared storage that nobody named
    const get = found.get
    found.get = function (key) {
      return key.name === 'SharedStorageService' && !this.singletons.has(key.name) ? undefined : get.call(this, key)
    }
  },
  V3asV1 (found) { // trials take their parameters from a queue: what one that is gone did not take is no other's
    const start = found.prototype.start
    found.prototype.start = async function () {
      const taken = new Set()
      this.v3.onRequestParameter(id => taken.add(id))
      this.v3.onTrialEnd(id => {
        if (taken.has(id) || this.allocatedParameters.delete(id) || !this.trialJobs[id]) return
        const own = this.parameters.indexOf(this.trialJobs[id].form.hyperParameters.value)
        if (this.parameters.length) this.parameters.splice(Math.max(own, 0), 1)
      })
      return start.call(this)
    }
  }
})
