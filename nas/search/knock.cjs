// Whether hosts let NNI in, and what it would upload to them: connects as NNI does, with its own ssh2, asks each host's
// Python for the answer of `code`, and goes through `folder` with NNI's own reading of .nniignore.
// Reads {machines, code, seconds, patience, folder, files} from stdin: a host has `seconds` to let us in, its Python
// `patience` seconds to answer; writes {hosts: [{answer} or {level, message}], upload: {files, bytes, most, names,
// unreadable, message}} to stdout, `names` being those of `files` that would be uploaded, and `unreadable` the first entry
// that cannot be read, with node's reason.
'use strict'
const fs = require('fs')
const path = require('path')
const modules = path.join(process.argv[2], 'node_modules')
const { Client } = require(path.join(modules, 'ssh2'))
const ignore = require(path.join(modules, 'ignore'))
const asked = JSON.parse(fs.readFileSync(0, 'utf8'))
const ENOUGH = 20000

function upload (folder) {
  let ignored = null
  try {
    ignored = ignore().add(fs.readFileSync(path.join(folder, '.nniignore'), 'utf8'))
  } catch {}
  const found = { files: 0, bytes: 0, most: '', names: [], unreadable: '', message: '' }
  const counts = {}
  const read = (how, name) => {
    try {
      return how(path.join(folder, name))
    } catch (error) {
      if (!found.message) Object.assign(found, { unreadable: name || '.', message: error.code || String(error) })
      return null
    }
  }
  const walk = inside => {
    for (const entry of read(fs.readdirSync, inside) || []) {
      const name = path.join(inside, entry)
      const stats = read(fs.lstatSync, name)
      if (stats === null) continue
      if (ignored && ignored.ignores(name + (stats.isDirectory() ? path.sep : ''))) continue
      if (found.files >= ENOUGH) return
      if (stats.isDirectory()) {
        walk(name)
        continue
      }
      const top = name.split(path.sep)[0]
      counts[top] = (counts[top] || 0) + 1
      found.files += 1
      found.bytes += stats.size
      if (asked.files.includes(path.join(folder, name))) found.names.push(name)
    }
  }
  walk('')
  found.most = Object.keys(counts).sort((a, b) => counts[b] - counts[a])[0] || ''
  return found
}

function ask (machine) {
  return new Promise(resolve => {
    const client = new Client()
    const end = found => { clearTimeout(timer); resolve(found); client.end() }
    const late = (seconds, level, what) => setTimeout(() => end({ level, message: `${what} ${seconds} s` }), seconds * 1000)
    let timer = late(asked.seconds, 'silence', 'no answer in')
    const exec = (words, done) => client.exec(words, (error, stream) => {
      if (error) return end({ level: 'exec', message: error.message })
      const out = []
      stream.on('data', data => out.push(data)).on('close', code => done(code, Buffer.concat(out).toString()))
      stream.stderr.resume()
    })
    const code = asked.code.replace(/'/g, `'\\''`)
    const first = machine.pythonPath ? `'${machine.pythonPath}'/` : ''
    const pythons = ['python', 'python3']
    const next = () => {
      const python = pythons.shift()
      if (!python) return end({ level: 'python', message: '' })
      exec(`${first}${python} -c '${code}'`, (status, text) => status === 0 ? end({ answer: text.trim() }) : next())
    }
    client.on('ready', () => {
      clearTimeout(timer)
      timer = late(asked.patience, 'slow', 'its python took over')
      next()
    })
    client.on('error', error => end({ level: error.level || 'error', message: error.message }))
    try {
      client.connect({
        host: machine.host, port: machine.port || 22, username: machine.user, password: machine.password,
        privateKey: machine.sshKeyFile && fs.readFileSync(machine.sshKeyFile, 'utf8'),
        passphrase: machine.sshPassphrase, readyTimeout: asked.seconds * 1000
      })
    } catch (error) {
      end({ level: 'key', message: error.message })
    }
  })
}

Promise.all(asked.machines.map(ask)).then(found => {
  fs.writeSync(1, JSON.stringify({ hosts: found, upload: upload(asked.folder) }))
  process.exit(0)
})
