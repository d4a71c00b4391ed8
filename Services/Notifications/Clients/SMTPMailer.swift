import Contracts
import Dispatch
import Foundation
import Synchronization

/// Sends mails on threads of its own, because libcurl blocks: as many at once as there are threads.
final class SMTPMailer: Sendable {
    private let settings: SMTPSettings
    private let greetingName: String
    private let threads: Int
    private let line = MailLine()
    private let lastRefusal = Mutex<DeliveryRefusal?>(nil)

    init(_ settings: SMTPSettings, greetingName: String, threads: Int) {
        self.settings = settings
        self.greetingName = greetingName
        self.threads = threads
    }

    /// Why the last mail did not go out, when the server was to blame and not the mail; nil while all is well.
    var trouble: String? { lastRefusal.withLock { $0.flatMap { $0.isFinal ? nil : $0.reason } } }

    func start() {
        for number in 0..<threads {
            let thread = Thread { [settings, greetingName, line] in
                let connection = SMTPConnection(settings, greetingName: greetingName)
                while let job = line.next() { job.answer.resume(returning: connection.send(job.mail)) }
            }
            thread.name = "smtp-\(number)"
            thread.start()
        }
    }

    /// Mails under way are finished; those that wait are refused, to be tried again later.
    func stop() { line.close(readers: threads) }

    /// Refuses a mail that cannot be written down as one, and hands the others to a thread.
    func send(_ mail: OutgoingMail) async -> Result<Void, DeliveryRefusal> {
        do throws(DeliveryRefusal) {
            let content = try mail.content()
            return await send(MailEnvelope(from: mail.from.address.rawValue, to: mail.to.rawValue, content: content))
        } catch {
            return .failure(error)
        }
    }

    private func send(_ mail: MailEnvelope) async -> Result<Void, DeliveryRefusal> {
        let result = await withCheckedContinuation { line.append(MailJob(mail: mail, answer: $0)) }
        lastRefusal.withLock { if case .failure(let refusal) = result { $0 = refusal } else { $0 = nil } }
        return result
    }
}

private struct MailJob: Sendable {
    let mail: MailEnvelope
    let answer: CheckedContinuation<Result<Void, DeliveryRefusal>, Never>
}

/// A queue that blocks its readers. It is as long as the worker lets it be: one mail for each thread.
private final class MailLine: Sendable {
    private struct State {
        var jobs: [MailJob] = []
        var isClosed = false
    }

    private let state = Mutex(State())
    private let ready = DispatchSemaphore(value: 0)

    func append(_ job: MailJob) {
        let taken = state.withLock { state in
            guard !state.isClosed else { return false }
            state.jobs.append(job)
            return true
        }
        guard taken else {
            job.answer.resume(returning: .failure(DeliveryRefusal("the program is stopping", isFinal: false)))
            return
        }
        ready.signal()
    }

    /// Waits for a job; nil once the line is closed and empty.
    func next() -> MailJob? {
        ready.wait()
        return state.withLock { $0.jobs.isEmpty ? nil : $0.jobs.removeFirst() }
    }

    func close(readers: Int) {
        let waiting = state.withLock { state in
            state.isClosed = true
            defer { state.jobs = [] }
            return state.jobs
        }
        for job in waiting { job.answer.resume(returning: .failure(DeliveryRefusal("the program is stopping", isFinal: false))) }
        for _ in 0..<readers { ready.signal() }
    }
}
