import Contracts
import Foundation
import Glibc
import Synchronization
import Testing

@testable import DevStack

@Suite struct RestartBackoffTests {
    @Test("Waits double from one second to thirty and stay there")
    func doubling() {
        var backoff = RestartBackoff()
        let waits = (0..<7).map { _ in backoff.wait(afterRunningFor: .seconds(5)).components.seconds }
        #expect(waits == [1, 2, 4, 8, 16, 30, 30])
    }

    @Test("A program that ran for a minute is well again")
    func settled() {
        var backoff = RestartBackoff()
        for _ in 0..<4 { _ = backoff.wait(afterRunningFor: .zero) }
        #expect(backoff.wait(afterRunningFor: .milliseconds(59_999)) == .seconds(16))
        #expect(backoff.wait(afterRunningFor: .seconds(60)) == .seconds(1))
        #expect(backoff.wait(afterRunningFor: .zero) == .seconds(2))
    }
}

@Suite final class SupervisedTests {
    let scratch: ScratchDirectory
    init() throws { scratch = try ScratchDirectory("trionex-supervised-test") }
    deinit { scratch.remove() }

    @Test("A program that is killed is said so and started again; when watching ends, it is not")
    func restarts() async throws {
        let launch = ProcessLaunch("/bin/sleep", ["600"], log: scratch.path + "/sleep.log")
        let supervised = Supervised("sleeper", stopSteps: []) { try ManagedProcess.start(launch) }
        try await supervised.start()
        let said = Mutex<[String]>([])
        let watch = Task { await supervised.watch { line in said.withLock { $0.append(line) } } }
        let first = try #require(supervised.process)
        first.send(.kill)
        try await eventually { supervised.process?.pid != first.pid }
        let second = try #require(supervised.process)
        let lines = said.withLock { $0 }
        #expect(lines.first == "sleeper was ended by signal 9. Starting it again in 1 s. Its log: \(launch.log)")
        try await eventually { said.withLock { $0.last } == "sleeper was started again (process \(second.pid))." }
        watch.cancel()
        await watch.value
        await supervised.stop()
        #expect(second.exit == .signal(SIGKILL))
        #expect(supervised.process?.pid == second.pid)
    }
}

@Suite final class StackLockTests {
    let scratch: ScratchDirectory
    init() throws { scratch = try ScratchDirectory("trionex-lock-test") }
    deinit { scratch.remove() }

    @Test("Only one stack runs from a folder, and a file left behind means nothing")
    func exclusive() throws {
        try "12345\n".write(toFile: scratch.path + "/trionex-dev.pid", atomically: true, encoding: .utf8)
        #expect(StackLock.holder(in: scratch.path) == nil)
        let lock = try StackLock(in: scratch.path)
        #expect(StackLock.holder(in: scratch.path) == getpid())
        #expect(throws: StackFailure("Trionex runs already from this folder (process \(getpid())). Stop it with make stop.")) {
            try StackLock(in: scratch.path)
        }
        withExtendedLifetime(lock) {}
    }

    @Test("Stopping a stack that does not run says so")
    func nothingToStop() async throws {
        #expect(try await StackLock.stopHolder(in: scratch.path) == false)
    }

    @Test("Stopping asks the holder and waits until it has gone")
    func stopsHolder() async throws {
        let file = scratch.path + "/trionex-dev.pid"
        let script = "exec 9>>\(file); flock 9; echo $$ >\(file); trap 'sleep 0.3; exit 0' TERM; echo up; while :; do sleep 0.05; done"
        let holder = try ManagedProcess.start(ProcessLaunch("/bin/sh", ["-c", script], log: scratch.path + "/holder.log"))
        try await eventually { LogFile(holder.launch.log).text() == "up\n" }
        #expect(StackLock.holder(in: scratch.path) == holder.pid)
        #expect(try await StackLock.stopHolder(in: scratch.path))
        #expect(try await holder.exited() == .code(0))
    }
}

@Suite struct StackSettingsTests {
    @Test("Everything wrong in the environment is said at once")
    func problems() {
        let failure = #expect(throws: StackFailure.self) {
            try StackSettings(
                root: "/x",
                environment: [
                    "TRIONEX_POSTGRES_PORT": "many", "TRIONEX_CONTENT_PORT": "70000", "TRIONEX_READY_SECONDS": "0",
                    "TRIONEX_DATABASE_URL": "postgres://db/trionex", "TRIONEX_SEARCH_PORT": "8080",
                ])
        }
        let text = failure?.description ?? ""
        #expect(text.contains("TRIONEX_POSTGRES_PORT is \"many\", but must be a whole number from 1 to 65535"))
        #expect(text.contains("TRIONEX_CONTENT_PORT is \"70000\""))
        #expect(text.contains("TRIONEX_READY_SECONDS is \"0\", but must be a whole number from 1 to 3600"))
        #expect(text.contains("TRIONEX_DATABASE_URL must be"))
        #expect(text.contains("TRIONEX_GATEWAY_PORT and TRIONEX_SEARCH_PORT both have port 8080"))
        #expect(text.split(separator: "\n").count == 6)
    }

    @Test("Some programs can be chosen by name; an unknown name is refused with the known ones")
    func choosing() throws {
        var settings = StackSettings(root: "/x", runDirectory: "/x/.run")
        try settings.choose(["users", "auth"])
        #expect(settings.programs.map(\.name) == [.auth, .users])
        #expect(!settings.listeners.contains { $0.variable == "TRIONEX_ADMIN_PORT" })
        let failure = #expect(throws: StackFailure.self) { try settings.choose(["auth", "billing"]) }
        #expect(failure?.description.hasPrefix("There is no service billing; there are auth, users") == true)
    }

    @Test("A server that is there already is not started, so its port is not asked for")
    func existingServers() throws {
        let settings = try StackSettings(
            root: "/x",
            environment: [
                "TRIONEX_DATABASE_URL": "postgres://admin:secret@db:5432/trionex", "TRIONEX_REDIS_URL": "redis://cache",
                "TRIONEX_KAFKA_BROKERS": "k1:9092", "TRIONEX_SMTP_URL": "smtp://relay",
            ])
        #expect(settings.listeners.count == StackProgram.all.count + 1)
    }

    @Test("Every program is told its own role, its neighbours and nothing of ours")
    func environment() throws {
        var settings = StackSettings(root: "/x", runDirectory: "/x/.run")
        settings.ports[.auth] = 18_081
        let addresses = StackAddresses(
            database: "postgres://postgres:postgres@127.0.0.1:54329/trionex?connect_timeout=3", redis: "redis://r", kafka: "k:1",
            smtp: "smtp://s",
            mail: nil, admin: "", programs: [:], pid: 1)
        let environment = StackEnvironment(
            settings: settings, addresses: addresses,
            inherited: [
                "HOME": "/home/me", "TRIONEX_CONTENT_PORT": "1", "TRIONEX_OTLP_ENDPOINT": "http://c",
                "TRIONEX_USERS_DATABASE_PASSWORD": "x",
            ])
        let content = environment.variables(for: StackProgram.all[2])
        #expect(content["TRIONEX_DATABASE_URL"] == "postgres://content:content@127.0.0.1:54329/trionex?connect_timeout=3")
        #expect(content["TRIONEX_HTTP_PORT"] == "8083")
        #expect(content["TRIONEX_AUTH_URL"] == "http://127.0.0.1:18081")
        #expect(content["TRIONEX_JWKS"] == "http://127.0.0.1:18081/.well-known/jwks.json")
        #expect(content["TRIONEX_CONTENT_URL"] == nil && content["TRIONEX_CONTENT_PORT"] == nil && content["TRIONEX_ADMIN_PORT"] == nil)
        #expect(content["HOME"] == "/home/me" && content["TRIONEX_OTLP_ENDPOINT"] == "http://c")
        let users = environment.variables(for: StackProgram.all[1])
        #expect(users["TRIONEX_DATABASE_URL"]?.hasPrefix("postgres://users:x@") == true)
        #expect(environment.variables(for: StackProgram.all[8])["TRIONEX_ADMIN_PORT"] == "9080")
    }

    @Test("Secrets are made once, for this user alone")
    func secrets() throws {
        let scratch = try ScratchDirectory("trionex-secrets-test")
        defer { scratch.remove() }
        let keys = scratch.path + "/keys"
        try StackSecrets.prepare(in: keys)
        let made = try String(contentsOfFile: keys + "/files-master-key", encoding: .utf8)
        #expect(Data(base64Encoded: made.trimmingCharacters(in: .newlines))?.count == 32)
        #expect(try made != String(contentsOfFile: keys + "/service-secret", encoding: .utf8))
        #expect(try FileManager.default.attributesOfItem(atPath: keys + "/service-secret")[.posixPermissions] as? NSNumber == 0o600)
        try StackSecrets.prepare(in: keys)
        #expect(try String(contentsOfFile: keys + "/files-master-key", encoding: .utf8) == made)
    }
}
