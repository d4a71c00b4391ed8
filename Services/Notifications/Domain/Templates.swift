import Contracts

/// The templates that ship.
enum TemplateName: String, Codable, Sendable, CaseIterable {
    /// Sent once to everybody who joins.
    case welcome
    /// A heading, a message and perhaps a link: for what programs have to tell.
    case notice

    var template: Template {
        switch self {
        case .welcome: Self.welcomeTemplate
        case .notice: Self.noticeTemplate
        }
    }

    private static let welcomeTemplate = Template(
        .welcome,
        parameters: [.init(name: "firstName", kind: .line, required: false)],
        subject: "Welcome to Trionex, {{firstName|and hello}}",
        text: """
            Hello {{firstName|there}},

            welcome to Trionex. Your account is ready: sign in with this e-mail address.

            If you did not expect this message, somebody may have entered your address by mistake. You can ignore it.
            """,
        html: """
            <p>Hello {{firstName|there}},</p>
            <p>welcome to Trionex. Your account is ready: sign in with this e-mail address.</p>
            <p style="color:#6e6e73">If you did not expect this message, somebody may have entered your address by mistake.
            You can ignore it.</p>
            """)

    private static let noticeTemplate = Template(
        .notice,
        parameters: [
            .init(name: "heading", kind: .line, required: true), .init(name: "message", kind: .paragraph, required: true),
            .init(name: "link", kind: .link, required: false),
        ],
        subject: "{{heading}}",
        text: """
            {{heading}}

            {{message}}{{#link}}

            {{link}}{{/link}}
            """,
        html: """
            <h1 style="font-size:20px">{{heading}}</h1>
            <p>{{message}}</p>
            {{#link}}<p><a href="{{link}}">{{link}}</a></p>{{/link}}
            """)
}
