import Contracts
import Foundation
import HTTPTypes
import ServiceKit

/// The page that an invitation's letter leads to: whoever has no account makes one there and joins, whoever has one is told how to.
///
/// The page only asks: mail scanners open links, and must not spend them. Users alone knows the token, and is asked by the form.
struct InvitationPageRoutes {
    let registration: RegistrationRoutes

    /// The longest texts that are good, in the longest encoding, fit.
    static let maximumBodyBytes = 16_384

    var endpoints: Endpoints {
        Endpoints("auth/invitation") {
            Endpoint.get("", "The page that an invitation's link opens", .public, page)
            Endpoint.form(
                "confirm", "Register and join from that page", .public, maxBodyBytes: Self.maximumBodyBytes, confirm)
        }
    }

    struct Link: Decodable, Sendable {
        let token: PresentedSecret?
    }

    /// Texts as they were typed, so that the page can say what is wrong with each.
    struct Form: Decodable, Sendable, OpenFields {
        let token: String
        let email: String
        let firstName: String?
        let lastName: String?
        let password: String

        static func refusal(of failure: any Failure) -> any Error { PageFailure(failure) }
    }

    func page(_ request: PublicRequest, _ query: Link) async throws -> HTMLPage {
        guard let token = query.token?.text else { return AccountPages.badLink }
        return AccountPages.invitation(.init(token: token))
    }

    func confirm(_ request: PublicRequest, _ form: Form) async throws -> HTMLPage {
        guard let token = PresentedSecret(form.token) else { return AccountPages.badLink }
        let typed = AccountPages.Invited(
            token: token.text, email: form.email, firstName: form.firstName ?? "", lastName: form.lastName ?? "")
        do {
            let hasJoined = try await registration.registerWithoutSession(request, try Self.check(form, token))
            return hasJoined ? AccountPages.joined : AccountPages.mailboxUnproven(token: token.text)
        } catch let failure as ValidationFailure {
            if let refusal = failure.fields.first(where: { $0.pointer == "/invitationToken" }), refusal.code != Self.otherAddress {
                return AccountPages.badInvitation(refusal.detail)
            }
            return AccountPages.invitation(typed, failure.fields.map(Self.problem), status: .badRequest)
        } catch AccountFailure.emailTaken {
            return AccountPages.acceptSignedIn(token: token.text, status: .conflict)
        } catch SSOFailure.required {
            return AccountPages.acceptSignedIn(token: token.text, withOrganization: true, status: .forbidden)
        } catch let failure as any Failure {
            let sentence = failure.detail ?? "This cannot be done just now. Try again shortly."
            return AccountPages.invitation(typed, [.init(field: nil, sentence: sentence)], status: failure.kind.status)
        }
    }

    /// What users calls a letter that went to somebody else: typing the address again helps.
    private static let otherAddress = "invitation-of-another-address"

    /// The checks that a JSON body goes through before `register` sees it.
    private static func check(_ form: Form, _ token: PresentedSecret) throws(ValidationFailure) -> RegistrationRoutes.Registration {
        var problems: [FieldError] = []
        func checked<T>(_ pointer: String, _ make: () throws -> T) -> T? {
            do {
                return try make()
            } catch {
                let problem = error as? TextProblem
                problems.append(
                    FieldError(pointer: pointer, code: problem?.code ?? "invalid", detail: problem?.detail ?? "cannot be read"))
                return nil
            }
        }
        /// A name that was left out.
        func name(_ pointer: String, _ text: String?) -> Name? {
            guard let text, !text.allSatisfy(\.isWhitespace) else { return nil }
            return checked(pointer) { try Name(text) }
        }
        let email = checked("/email") { try EmailAddress(form.email) }
        let firstName = name("/firstName", form.firstName), lastName = name("/lastName", form.lastName)
        let password = checked("/password") { try Password(form.password) }
        guard problems.isEmpty, let email, let password else { throw ValidationFailure(problems) }
        return RegistrationRoutes.Registration(
            email: email, password: password, firstName: firstName, lastName: lastName, organization: nil, invitationToken: token,
            consents: nil)
    }

    private static func problem(_ error: FieldError) -> AccountPages.Problem {
        switch error.pointer {
        case "/email": .init(field: "email", sentence: "The e-mail address \(error.detail).")
        case "/firstName": .init(field: "first-name", sentence: "The first name \(error.detail).")
        case "/lastName": .init(field: "last-name", sentence: "The last name \(error.detail).")
        case "/password": .init(field: "password", sentence: "The password \(error.detail).")
        case "/invitationToken":
            .init(field: "email", sentence: "This invitation is for another e-mail address: enter the one that the letter came to.")
        default: .init(field: nil, sentence: error.detail)
        }
    }
}
