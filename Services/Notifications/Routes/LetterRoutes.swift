import Contracts
import Foundation
import Postgres
import ServiceKit

/// Takes letters from the platform's other programs.
struct LetterRoutes {
    let database: Database
    let sealing: Sealing
    /// The channels that this platform has, each with the bell of its worker.
    let bells: [LetterChannel: Bell]

    /// Bytes of a request: a letter is a few values, not a document.
    static let largestRequest = 64 * 1024

    var endpoints: Endpoints {
        Endpoints("/internal/v1/letters") {
            Endpoint.put(":id", "Send a letter", may: .service, maxBodyBytes: Self.largestRequest, take)
            Endpoint.get("channels", "The channels that letters can go over", may: .service, channels)
        }
    }

    /// Answers 202 once it is kept. The same id again changes nothing and answers with what has become of it.
    func take(_ request: CallerRequest, _ body: LetterRequest) async throws -> Accepted<LetterView> {
        let id = try request.path("id", as: LetterID.self)
        let (template, content) = try Self.letter(body)
        guard let bell = bells[body.channel] else { throw LetterFailure.noSMS }
        let tenant = body.tenant ?? .platform
        let sealed = try sealing.seal(try JSON.encode(content), context: LetterContent.sealContext(id, tenant))
        let letter = Letter.queued(id, for: tenant, body.channel, template, sealed: sealed, expires: body.expiresAt, at: request.now)
        let status = try await database.transaction(as: .service(.notifications, for: tenant)) { tx -> DeliveryStatus in
            guard try LetterStore(tx: tx).add(letter) else { return try tx.first(LetterStore.status(of: id)) ?? .queued }
            tx.afterCommit { bell.ring() }
            return .queued
        }
        return Accepted(LetterView(id: id, status: status))
    }

    /// For programs that offer a channel only where there is one.
    func channels(_ request: CallerRequest) async throws -> LetterChannelsView {
        LetterChannelsView(channels: LetterChannel.allCases.filter { bells[$0] != nil })
    }

    /// Everything that is wrong with it is said at once, where the program that asked can see it, and not when it is sent.
    private static func letter(_ body: LetterRequest) throws -> (LetterTemplate, LetterContent) {
        guard let template = LetterTemplate(rawValue: body.template) else {
            let known = LetterTemplate.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationFailure("/template", "unknown-template", "must be one of \(known)")
        }
        var errors: [FieldError] = []
        func gather<Value>(_ pointer: String?, _ make: () throws -> Value) throws -> Value? {
            do {
                return try make()
            } catch let problem as TextProblem {
                errors.append(FieldError(pointer: pointer ?? "", code: problem.code, detail: problem.detail))
            } catch let failure as ValidationFailure {
                errors += failure.fields
            }
            return nil
        }
        let rendered = try gather(nil) { try template.render(body.data, in: LetterLanguage(tag: body.language)) }
        let content: LetterContent?
        switch body.channel {
        case .email:
            let address = try gather("/to") { try EmailAddress(body.to) }
            content = address.flatMap { address in rendered.map { .mail(to: address, $0.message) } }
        case .sms:
            let number = try gather("/to") { try PhoneNumber(body.to) }
            if let rendered, rendered.short == nil {
                errors.append(
                    FieldError(pointer: "/channel", code: "not-allowed", detail: "the letter \(body.template) goes by email only"))
            }
            content = number.flatMap { number in rendered?.short.map { .shortMessage(to: number, $0) } }
        }
        guard let content, errors.isEmpty else { throw ValidationFailure(errors) }
        return (template, content)
    }
}

/// A letter that was taken.
struct LetterView: View {
    let id: LetterID
    let status: DeliveryStatus
}

struct LetterChannelsView: View {
    let channels: [LetterRequest.Channel]
}
