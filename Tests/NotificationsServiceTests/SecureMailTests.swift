import DevStack
import Foundation
import TestKit
import Testing

@testable import NotificationsService

/// A mail server with STARTTLS and passwords is not ours to write: these tests run where Python's aiosmtpd and openssl are at hand.
@Suite("SMTP with TLS and a password", .enabled("aiosmtpd or openssl is not there") { await SecureMailServer.isAvailable() }, .serialized)
struct SecureMailTests {
    private func send(_ server: SecureMailServer, user: String, security: SMTPSettings.Security, trusting: Bool) throws -> Result<
        Void, DeliveryRefusal
    > {
        let settings = try SMTPSettings(
            url: "smtp://\(user)@localhost:\(server.port)", security: security, authorities: trusting ? server.certificate : nil)
        let mail = MailEnvelope(from: "post@trionex.example", to: "ada@example.org", content: Array("Subject: x\r\n\r\nsecret\r\n".utf8))
        return SMTPConnection(settings, greetingName: "trionex.example").send(mail)
    }

    @Test("A mail goes out after STARTTLS with the right password")
    func delivered() async throws {
        let server = try await SecureMailServer.start()
        defer { server.stop() }
        #expect(throws: Never.self) { try send(server, user: "trionex:pass%20word", security: .required, trusting: true).get() }
    }

    @Test("A wrong password, and a certificate that nobody vouches for, are our own trouble: tried again later")
    func refused() async throws {
        let server = try await SecureMailServer.start()
        defer { server.stop() }
        guard case .failure(let password) = try send(server, user: "trionex:wrong", security: .required, trusting: true),
            case .failure(let stranger) = try send(server, user: "trionex:pass%20word", security: .opportunistic, trusting: false)
        else {
            Issue.record("both are refused")
            return
        }
        #expect(!password.isFinal)
        #expect(password.reason.hasPrefix("535"))
        #expect(!password.reason.contains("wrong"))
        #expect(!stranger.isFinal)
    }
}

/// aiosmtpd with a certificate made for the occasion; it takes the user `trionex` with the password `pass word`, only after STARTTLS.
final class SecureMailServer {
    let port: Int
    let certificate: String
    private let process: Process
    private let folder: ScratchDirectory

    static func isAvailable() async -> Bool {
        guard let python = try? await run("python3", ["-c", "import aiosmtpd"]), let openssl = try? await run("openssl", ["version"]) else {
            return false
        }
        return python == 0 && openssl == 0
    }

    private static let program = """
        import ssl, sys, time
        from aiosmtpd.controller import Controller
        from aiosmtpd.smtp import AuthResult
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2], sys.argv[3])
        def check(server, session, envelope, mechanism, data):
            return AuthResult(success=data.login == b"trionex" and data.password == b"pass word", handled=False)
        class Keep:
            async def handle_DATA(self, server, session, envelope):
                return "250 kept"
        Controller(Keep(), hostname="localhost", port=int(sys.argv[1]), tls_context=context, require_starttls=True,
                   authenticator=check, auth_required=True).start()
        print("ready", flush=True)
        time.sleep(600)
        """

    static func start() async throws -> SecureMailServer {
        let folder = try ScratchDirectory("trionex-smtp")
        let (key, certificate) = (folder.path + "/key.pem", folder.path + "/certificate.pem")
        let made = try await run(
            "openssl",
            [
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "1", "-subj",
                "/CN=localhost",
                "-addext", "subjectAltName=DNS:localhost",
            ])
        try #require(made == 0)
        return try SecureMailServer(folder, key: key, certificate: certificate, port: try Ports.free())
    }

    private init(_ folder: ScratchDirectory, key: String, certificate: String, port: Int) throws {
        self.folder = folder
        self.certificate = certificate
        self.port = port
        process = Self.command("python3", ["-c", Self.program, String(port), certificate, key])
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        // It says so once it listens; the end of its output means that it could not.
        try #require(!output.fileHandleForReading.availableData.isEmpty)
    }

    func stop() {
        process.terminate()
        folder.remove()
    }

    private static func command(_ name: String, _ arguments: [String]) -> Process {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [name] + arguments
        process.standardError = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        return process
    }

    /// The exit code. `waitUntilExit` would run a run loop on a thread of the test's.
    private static func run(_ name: String, _ arguments: [String]) async throws -> Int32 {
        try await withCheckedThrowingContinuation { continuation in
            let process = command(name, arguments)
            process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
            do {
                try process.run()
            } catch {
                continuation.resume(throwing: error)
            }
        }
    }
}
